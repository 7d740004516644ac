// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package store owns the embedded API server and the state folder: the
// database, the certificates, the kubeconfig and the lock in it. It serves
// custom resources, as a Kubernetes API server does, to clients in this
// process over memory and to clients on this machine over TLS on a loopback
// address. It must not know what the objects mean, reconcile anything, or
// touch OVN, OVS or the network beyond its own listener.
//
// What is acknowledged is on disk. An API server writes through an etcd
// client; here that client speaks, through an in-memory connection, to kine,
// which keeps the keys as rows of a SQLite database with synchronous=FULL:
//
//	rest.Config ─┐
//	             ├→ API server → etcd client ─(memory)→ kine → state.db
//	kubeconfig ──┘
//
// Options.Endpoint replaces state.db by another of kine's datastores, or all of
// the right-hand side by an etcd.
package store
