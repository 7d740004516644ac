// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package nat owns how packets pass between the endpoints and the world through
// the host's kernel: the nftables table "inet arca", the kernel's connection
// tracking entries that the table has caused, and the few switches (sysctls)
// that let the kernel forward. It is their only writer. It must not touch any
// other table, nor know an API object.
//
// The table has a constant number of rules; what changes are the elements of
// its sets and maps. Manager.Apply makes the table what a State says, in one
// transaction, and writes nothing where nothing differs. Somebody who edits,
// flushes or deletes the table by hand causes an event, upon which Apply has to
// be called again.
//
// A packet that another table drops stays dropped, whatever this one says:
// that is how nftables works. Manager.Obstacles names tables that may do so.
package nat
