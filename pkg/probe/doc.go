// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package probe owns the question whether hosts of the world answer this one,
// and tells when something of this host has changed that the answer depends on.
// It must not change anything, and sends nothing but to the targets it was given.
package probe
