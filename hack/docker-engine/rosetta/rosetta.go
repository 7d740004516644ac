// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rosetta stands in for the module of that name, which tells the docker
// command whether it is translated on a Mac and which the Go module proxy does
// not serve. What is built here runs on Linux alone.
package rosetta

// Enabled tells that the program is not translated.
func Enabled() bool { return false }
