// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package policy decides what policies stand for: pure functions from Policy
// objects and what they refer to, to northbound rows (ACLs, address sets,
// router policies). It must not do I/O, and it must not know how rows reach
// the database (package ovnsync does) nor which endpoints exist: an endpoint
// puts its own addresses into the address sets that select it.
//
// A verdict is reached in at most three places. The switch of the source
// evaluates egress rules and the switch of the destination ingress rules,
// both statefully, and only where a policy is for endpoints of that network: a
// network without policies tracks no connection. Between them the shared
// router, which knows no connections, lets pass what lies between addresses
// that some rule connects, in both directions. What it lets pass too much (a
// new connection in the direction of the replies) is dropped by the guard of
// the policy's own switch.
//
// Bands of priorities in the ACLs of a switch, highest first:
//
//	router     traffic from and to the router is no endpoint's here
//	named      rules that name DNS or DHCP on the gateway
//	services   DNS and DHCP on the gateway
//	rules      the policies' rules, in their order
//	mirrors    what rules of other switches open through this one's guard
//	network    within the network: allowed, or with interContainer false not
//	guard      nothing new between addresses that rules connect
package policy
