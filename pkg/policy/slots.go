// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// Priorities of ACLs, of which OVN has 0 to 32767 and looks at the highest
// first.
const (
	priorityRouter   = 32700
	priorityNamed    = 32600 // and below, one for each
	leastNamed       = 30100
	priorityServices = 30050
	priorityRules    = 30029 // and below
	leastRule        = priorityRules - levels*slots + 1
	priorityMirror   = 1500
	priorityGateway  = 1410
	priorityNetwork  = 1400
	priorityGuard    = 1000

	// levels is the number of priorities that a policy can have, and slots the
	// number of ACL priorities that each has for itself. Rules need a new one
	// only where the action changes, so most levels need two or three.
	levels = 1001
	slots  = 28
)

// errTooMany says that rules of one network do not fit.
var errTooMany = errors.New("more rules than OVN has priorities for")

// ranks gives each of some rules of one switch and direction, in order, its
// priority. Rules in a row that do the same share one. Each priority of the
// policies has slots of its own, so that a policy that comes or changes leaves
// the others' rows as they are; only where the slots of a priority do not
// suffice are all rules numbered through.
func ranks(rules []*rule) ([]int, error) {
	out := make([]int, len(rules))
	level, slot, fits := int32(-1), 0, true
	for i, r := range rules {
		switch {
		case r.policy.Spec.Priority != level:
			level, slot = r.policy.Spec.Priority, 0
		case !alike(rules[i-1], r):
			slot++
		}
		fits = fits && slot < slots
		out[i] = priorityRules - int(level)*slots - slot
	}
	if fits {
		return out, nil
	}
	next := priorityRules
	for i, r := range rules {
		if i > 0 && !alike(rules[i-1], r) {
			next--
		}
		out[i] = next
	}
	if next < leastRule {
		return nil, errTooMany
	}
	return out, nil
}

// alike tells whether the order of two rules does not matter.
func alike(a, b *rule) bool { return a.Action == b.Action && !a.Log && !b.Log }

// opens tells whether the router must let pass what a rule matches: what is
// allowed, and what the switch of the destination is to answer or to log.
func (r *rule) opens() bool {
	return r.Action == v1alpha1.PolicyAllow ||
		r.direction == ingress && (r.Action == v1alpha1.PolicyReject || r.Log)
}
