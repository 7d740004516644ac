// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ovnd owns the OVS and OVN daemons of this host: ovsdb-server (one
// process for Open_vSwitch, northbound and southbound), ovs-vswitchd,
// ovn-northd and ovn-controller. It starts them, adopts those that run,
// restarts what dies and stops them when told to. They outlive this process. It
// gives the sockets by which ovs-vswitchd reads its ports room to queue, and keeps
// one flow in br-int: endpoints are no routers (see raguard.go).
//
// It must not write what the databases are for. Its exceptions: before
// ovs-vswitchd and ovn-controller start it sets the keys of the Open_vSwitch
// row that they read at their start (userspace TSO, system-id, ovn-*), and one of them
// when ovs-vswitchd is another (see reach.go), and a new northbound database begins
// with one option of ovn-northd's. It has ovsdb-server connect to those who read its
// databases (see reach.go), once new ones are filled (see hold.go).
//
// Daemons of a Debian root folder are run by that folder's own loader and
// libraries instead of in a chroot: sockets then have one path inside and
// outside, there is no mount that could be left behind, and a process that
// died needs no clean-up.
package ovnd
