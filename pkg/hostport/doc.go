// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package hostport owns the answers to what of this host's own ports and
// addresses is used: which process listens on a port, and whether an address is
// the host's. It only reads, from the kernel of the network namespace that it is
// called in, and binds nothing.
package hostport
