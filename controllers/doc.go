// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controllers owns the reconcilers, one file each: they read API
// objects, ask the pure packages (ipam, topology, policy) what should be, hand the
// answer to the one writer of each target (ovnsync, vnet), and write status.
// They must not write a database, a link or a rule themselves.
//
// Central work (addresses, northbound rows: TopologyReconciler,
// NetworkReconciler, AttachmentReconciler, PolicyReconciler) and the work of a node (ports of
// this host: PortReconciler, UplinkReconciler) are separate reconcilers that
// share nothing but the objects, so that several hosts can have one centre. In
// one process the port is a step of the AttachmentReconciler, which saves writes
// of the status.
package controllers
