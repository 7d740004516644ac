// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package dns owns the name server that containers ask: the names of
// containers, who may see which of them, and the forwarding of everything else.
// It must not know the API objects or how packets reach it: it is told
// records, and binds to an interface when it is told to look.
//
// The records are an immutable Snapshot that is swapped as a whole; a query
// reads one snapshot from beginning to end and takes no lock. What a client may
// see depends on the address that it asks from, which port security makes
// trustworthy: names of networks that its container is not attached to do not
// exist for it, and an address that is nobody's is refused.
package dns
