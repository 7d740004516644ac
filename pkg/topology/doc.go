// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package topology decides which northbound rows an object stands for: pure
// functions from API objects to desired rows, without I/O. It must not know
// how rows reach the database (package ovnsync does) nor allocate anything:
// addresses and subnets are read from the objects' status.
//
// The shape: one logical switch for each Network, one logical router that all
// share with a port (the gateway) on each switch, and a join switch between
// that router and the host's kernel. Traffic between networks has to cross the
// router, so one router policy over an address set of all subnets separates
// them: two logical flows in all, and two OpenFlow flows for each network,
// where an ACL for each network would cost a recomputation when the network is
// made and connection tracking on every packet within it.
package topology
