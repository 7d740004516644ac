// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e runs stories: scripts in testdata, one a file, against the real
// programs and real OVS and OVN in namespaces of their own. A new case is a
// new file. The commands are those of testscript and of commands.go.
package e2e
