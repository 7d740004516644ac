// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package install owns the files that make arcad and arca-network services of a
// machine and tell a Docker Engine where its driver is. It writes and removes
// these files and nothing else: it starts nothing, and leaves alone what it has
// not written or what somebody has changed since.
package install
