// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package testns owns the namespaces in which tests, the bench and the fault
// suite run, so that nothing of the machine's is touched and nothing is left. It
// must not be used outside of them.
package testns
