// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package store owns the embedded API: an API server for custom resources in
// this process, its storage (SQLite through kine, or any datastore that kine
// speaks), its certificates and its lock. It must not know the kinds that it
// serves: CustomResourceDefinitions are given to it.
//
// It serves local clients only: those of this process over an in-memory
// listener, others on the loopback with TLS and a client certificate. Nothing
// is anonymous.
package store
