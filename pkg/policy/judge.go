// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// Verdict says whether a policy is accepted beside the others.
type Verdict struct {
	// Reason and Message say why it is not; both are empty where it is.
	Reason, Message string
	// UnresolvedReason and Unresolved say what it refers to that is not there.
	UnresolvedReason, Unresolved string
	// InForce is the spec to be in force: the policy's own where it is accepted,
	// else the one that was accepted last, as far as it still can be; or nil.
	InForce *v1alpha1.PolicySpec
}

// Accepted tells whether nothing stands against the policy.
func (v Verdict) Accepted() bool { return v.Reason == "" }

// Case is what policies are judged by.
type Case struct {
	Networks []Network
	Survey   Survey
	Policies []*v1alpha1.Policy
}

// Judge judges all policies; where two conflict the older one wins. A policy that
// is accepted as it is stays so when an endpoint appears that another policy is
// for too: the older of both decides, and nothing that protects is withdrawn. Of
// one that was changed, what was accepted last holds its place until the change
// is accepted.
func Judge(c Case) map[string]Verdict {
	j := &judge{Case: c, networks: map[string]Network{}, rules: map[string]int{},
		former: map[string]*parsed{}, held: map[string]bool{}}
	for _, n := range c.Networks {
		j.networks[n.Name] = n
	}
	for _, p := range c.Policies {
		former := p.SpecInForce()
		j.held[p.Name] = former != nil && equality.Semantic.DeepEqual(*former, p.Spec)
	}
	order := slices.Clone(c.Policies)
	slices.SortFunc(order, func(a, b *v1alpha1.Policy) int {
		return cmp.Or(first(j.held[a.Name], j.held[b.Name]), first(a.SpecInForce() != nil, b.SpecInForce() != nil), Older(a, b))
	})
	for _, p := range order {
		j.keep(p)
	}
	out := map[string]Verdict{}
	for _, p := range order {
		out[p.Name] = j.one(p)
	}
	return out
}

// InForce are the policies as they are to be in force.
func InForce(policies []*v1alpha1.Policy, verdicts map[string]Verdict) []*v1alpha1.Policy {
	var out []*v1alpha1.Policy
	for _, p := range policies {
		if spec := verdicts[p.Name].InForce; spec != nil {
			out = append(out, p.WithSpec(spec))
		}
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
	accepted []*parsed          // in force, as far as judged
	former   map[string]*parsed // those of them that were accepted before, by name
	held     map[string]bool    // policies that are accepted as they are already
	rules    map[string]int     // of accepted policies, by network
}

// keep enters the spec that was accepted last, unless there is nothing left that
// it could be in force for.
func (j *judge) keep(p *v1alpha1.Policy) {
	spec := p.SpecInForce()
	if spec == nil {
		return
	}
	read, err := parse(p.WithSpec(spec))
	if err != nil {
		return
	}
	if _, ok := j.networks[spec.Network]; spec.Network != "" && !ok {
		return
	}
	if j.count(read) != "" {
		return
	}
	j.former[p.Name] = read
	j.enter(read)
}

// one judges a policy; what was in force of it makes room for it, and stays
// where it is refused.
func (j *judge) one(p *v1alpha1.Policy) Verdict {
	former := j.former[p.Name]
	if former != nil {
		j.leave(former)
		delete(j.former, p.Name)
	}
	read, v := j.present(p)
	switch {
	case v.Accepted():
		v.InForce = &p.Spec
		j.enter(read)
	case former != nil:
		v.InForce = &former.Spec
		j.former[p.Name] = former
		j.enter(former)
	}
	return v
}

// present judges a policy's own spec beside what is in force.
func (j *judge) present(p *v1alpha1.Policy) (*parsed, Verdict) {
	refuse := func(reason, why string) (*parsed, Verdict) { return nil, Verdict{Reason: reason, Message: why} }
	read, err := parse(p)
	if err != nil {
		return refuse(v1alpha1.ReasonInvalid, err.Error())
	}
	if s := p.Spec.Network; s != "" {
		if _, ok := j.networks[s]; !ok {
			return refuse(v1alpha1.ReasonNetworkNotFound,
				"spec.network: network "+s+" does not exist or has no subnets yet; create it, or delete this policy")
		}
		if why := j.families(read); why != "" {
			return refuse(v1alpha1.ReasonFamilyMismatch, why)
		}
	}
	if !j.held[p.Name] {
		for _, other := range j.accepted {
			if why := j.conflict(read, other); why != "" {
				return refuse(v1alpha1.ReasonPriorityConflict, why)
			}
		}
	}
	if why := j.count(read); why != "" {
		return refuse(v1alpha1.ReasonTooManyRules, why)
	}
	reason, unresolved := j.unresolved(read)
	return read, Verdict{UnresolvedReason: reason, Unresolved: unresolved}
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

// count tells why a policy's rules do not fit, or "".
func (j *judge) count(p *parsed) string {
	places, named := j.places(p)
	for _, n := range places {
		if j.rules[n]+len(p.rules) > mostRules || j.rules["named/"+n]+named > priorityNamed-leastNamed {
			return fmt.Sprintf("spec: network %s would have more rules than OVN has priorities for; the older policies have them", n)
		}
	}
	return ""
}

// places are the networks that a policy has rules in, and how many of those
// rules may name a service of the gateway.
func (j *judge) places(p *parsed) (networks []string, named int) {
	networks = j.Survey.Selected[p.subject.selector]
	if p.subject.selector == "" {
		networks = []string{p.subject.network}
	}
	for _, r := range p.rules {
		if r.direction == egress && len(r.Ports) > 0 {
			named += 2
		}
	}
	return networks, named
}

func (j *judge) enter(p *parsed) {
	j.accepted = append(j.accepted, p)
	j.add(p, 1)
}

func (j *judge) leave(p *parsed) {
	j.accepted = slices.DeleteFunc(j.accepted, func(other *parsed) bool { return other == p })
	j.add(p, -1)
}

func (j *judge) add(p *parsed, sign int) {
	places, named := j.places(p)
	for _, n := range places {
		j.rules[n] += sign * len(p.rules)
		j.rules["named/"+n] += sign * named
	}
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
				who, field := "the older policy "+other.Name+" too, which", b.field()
				if other == j.former[other.Name] && !j.held[other.Name] {
					who = "policy " + other.Name + " too, whose former rules stay in force until its present ones are accepted, and which"
					field = "status.inForce" + strings.TrimPrefix(field, "spec")
				}
				return fmt.Sprintf("spec.priority: %d is that of %s is for the same endpoints and whose %s says %s where %s says %s; choose another priority",
					p.Spec.Priority, who, field, b.Action, a.field(), a.Action)
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
