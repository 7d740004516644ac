// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// Verdict says whether a policy is accepted beside the others.
type Verdict struct {
	// Reason and Message say why it is not; both are empty where it is.
	Reason, Message string
	// UnresolvedReason and Unresolved say what it refers to that is not there.
	UnresolvedReason, Unresolved string
}

// Accepted tells whether nothing stands against the policy.
func (v Verdict) Accepted() bool { return v.Reason == "" }

// Case is what policies are judged by.
type Case struct {
	Networks []Network
	Survey   Survey
	Policies []*v1alpha1.Policy
	// Held tells whether a policy is accepted as it is already. It stays so
	// when an endpoint appears that another policy is for too: the older of
	// both decides, and nothing that protects is withdrawn.
	Held func(*v1alpha1.Policy) bool
}

// Judge judges all policies; where two conflict the older one wins.
func Judge(c Case) map[string]Verdict {
	j := &judge{Case: c, networks: map[string]Network{}, rules: map[string]int{}}
	for _, n := range c.Networks {
		j.networks[n.Name] = n
	}
	order := slices.Clone(c.Policies)
	slices.SortFunc(order, func(a, b *v1alpha1.Policy) int {
		return cmp.Or(first(c.Held(a), c.Held(b)), Older(a, b))
	})
	out := map[string]Verdict{}
	for _, p := range order {
		out[p.Name] = j.one(p)
	}
	return out
}

func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

type judge struct {
	Case
	networks map[string]Network
	accepted []*parsed
	rules    map[string]int // of accepted policies, by network
}

func (j *judge) one(p *v1alpha1.Policy) Verdict {
	read, err := parse(p)
	if err != nil {
		return Verdict{Reason: v1alpha1.ReasonInvalid, Message: err.Error()}
	}
	if s := p.Spec.Network; s != "" {
		if _, ok := j.networks[s]; !ok {
			return Verdict{Reason: v1alpha1.ReasonNetworkNotFound,
				Message: "spec.network: network " + s + " does not exist or has no subnets yet; create it, or delete this policy"}
		}
		if why := j.families(read); why != "" {
			return Verdict{Reason: v1alpha1.ReasonFamilyMismatch, Message: why}
		}
	}
	if !j.Held(p) {
		for _, other := range j.accepted {
			if why := j.conflict(read, other); why != "" {
				return Verdict{Reason: v1alpha1.ReasonPriorityConflict, Message: why}
			}
		}
	}
	if why := j.count(read); why != "" {
		return Verdict{Reason: v1alpha1.ReasonTooManyRules, Message: why}
	}
	j.accepted = append(j.accepted, read)
	reason, unresolved := j.unresolved(read)
	return Verdict{UnresolvedReason: reason, Unresolved: unresolved}
}

// families finds a peer of a family that the policy's network does not have.
func (j *judge) families(p *parsed) string {
	n := j.networks[p.subject.network]
	for _, r := range p.rules {
		for i, one := range r.peers {
			if len(one.prefixes) == 0 {
				continue
			}
			family := one.prefixes[0].Addr().BitLen()
			if !slices.ContainsFunc(n.Subnets, func(s netip.Prefix) bool { return s.Addr().BitLen() == family }) {
				return fmt.Sprintf("%s.peers[%d].cidr: %s: network %s has no %s subnet, only %s", r.field(), i,
					r.Peers[i].CIDR, n.Name, map[int]string{32: "IPv4", 128: "IPv6"}[family], texts(n.Subnets))
			}
		}
	}
	return ""
}

// mostRules is how many rules always fit into the priorities that there are.
const mostRules = levels * slots

func (j *judge) count(p *parsed) string {
	places := j.Survey.Selected[p.subject.selector]
	if p.subject.selector == "" {
		places = []string{p.subject.network}
	}
	named := 0
	for _, r := range p.rules {
		if r.direction == egress && len(r.Ports) > 0 {
			named += 2
		}
	}
	for _, n := range places {
		if j.rules[n]+len(p.rules) > mostRules || j.rules["named/"+n]+named > priorityNamed-leastNamed {
			return fmt.Sprintf("spec: network %s would have more rules than OVN has priorities for; the older policies have them", n)
		}
	}
	for _, n := range places {
		j.rules[n] += len(p.rules)
		j.rules["named/"+n] += named
	}
	return ""
}

// conflict tells where two policies of one priority want different things for
// the same traffic of the same endpoints.
func (j *judge) conflict(p, other *parsed) string {
	if p.Spec.Priority != other.Spec.Priority || !j.Survey.meet(p.subject, other.subject) {
		return ""
	}
	for _, a := range p.rules {
		for _, b := range other.rules {
			if a.direction == b.direction && a.Action != b.Action && sameProtocol(a, b) && samePorts(a, b) && j.samePeers(a, b) {
				return fmt.Sprintf("spec.priority: %d is that of the older policy %s too, which is for the same endpoints and whose %s says %s where %s says %s; choose another priority",
					p.Spec.Priority, other.Name, b.field(), b.Action, a.field(), a.Action)
			}
		}
	}
	return ""
}

func sameProtocol(a, b *rule) bool {
	wide := func(p v1alpha1.PolicyProtocol) bool { return p == "" || p == v1alpha1.PolicyAny }
	return wide(a.Protocol) || wide(b.Protocol) || a.Protocol == b.Protocol
}

func samePorts(a, b *rule) bool {
	if len(a.Ports) == 0 || len(b.Ports) == 0 {
		return true
	}
	for _, x := range a.Ports {
		for _, y := range b.Ports {
			if x.Port <= lastPort(y) && y.Port <= lastPort(x) {
				return true
			}
		}
	}
	return false
}

// samePeers tells whether two rules have a peer in common, as far as the
// endpoints that there are can tell.
func (j *judge) samePeers(a, b *rule) bool {
	if len(a.peers) == 0 || len(b.peers) == 0 {
		return true
	}
	for _, x := range a.peers {
		for _, y := range b.peers {
			if j.meet(x, y) {
				return true
			}
		}
	}
	return false
}

func (j *judge) meet(x, y peer) bool {
	if y.internet || x.prefixes == nil && y.prefixes != nil {
		x, y = y, x
	}
	switch {
	case x.internet:
		return y.internet || len(y.prefixes) > 0
	case len(x.prefixes) > 0 && len(y.prefixes) > 0:
		return len(within(x.prefixes, y.prefixes)) > 0
	case len(x.prefixes) > 0:
		names := j.Survey.Selected[y.selector]
		if y.network != "" {
			names = []string{y.network}
		}
		return slices.ContainsFunc(names, func(n string) bool { return len(within(x.prefixes, j.networks[n].Subnets)) > 0 })
	}
	if x.empty() || y.empty() {
		return false // a range of which nothing is left
	}
	return j.Survey.meet(subject{network: x.network, selector: x.selector}, subject{network: y.network, selector: y.selector})
}

// unresolved lists what a policy refers to that is not there.
func (j *judge) unresolved(p *parsed) (reason, message string) {
	var missing, nothing []string
	if s := p.subject.selector; s != "" && len(j.Survey.Selected[s]) == 0 {
		nothing = append(nothing, "spec.selector")
	}
	for _, r := range p.rules {
		for i, one := range r.peers {
			field := fmt.Sprintf("%s.peers[%d]", r.field(), i)
			if _, ok := j.networks[one.network]; one.network != "" && !ok {
				missing = append(missing, field+".network: network "+one.network)
			}
			if one.selector != "" && len(j.Survey.Selected[one.selector]) == 0 {
				nothing = append(nothing, field+".selector")
			}
		}
	}
	var parts []string
	if len(nothing) > 0 {
		reason = v1alpha1.ReasonNothingSelected
		parts = append(parts, "no attachment has such labels: "+some(nothing))
	}
	if len(missing) > 0 {
		reason = v1alpha1.ReasonNetworkNotFound
		parts = append(parts, "does not exist, so nothing matches it: "+some(missing))
	}
	return reason, strings.Join(parts, "; ")
}

// some joins the first few.
func some(list []string) string {
	if len(list) > 5 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:5], ", "), len(list)-5)
	}
	return strings.Join(list, ", ")
}

func texts(prefixes []netip.Prefix) string {
	var out []string
	for _, p := range prefixes {
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}
