// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// Directions of rules, as they are called in the objects.
const (
	ingress = "ingress"
	egress  = "egress"
)

// rule is one rule of a policy, read.
type rule struct {
	v1alpha1.PolicyRule
	policy    *v1alpha1.Policy
	direction string
	index     int
	peers     []peer
}

// peer is one peer of a rule, read: one of its fields is set.
type peer struct {
	network  string
	prefixes []netip.Prefix // of cidr, less except
	selector string         // key
	internet bool
}

// empty tells that nothing is left of a range.
func (p peer) empty() bool {
	return p.network == "" && p.selector == "" && !p.internet && len(p.prefixes) == 0
}

func (r *rule) id() string    { return fmt.Sprintf("%s/%s/%d", r.policy.UID, r.direction, r.index) }
func (r *rule) name() string  { return logName(r.policy.Name, r.direction, r.index) }
func (r *rule) field() string { return fmt.Sprintf("spec.%s[%d]", r.direction, r.index) }

// subject is whom a policy is for: the endpoints of a network, or those that a
// selector selects.
type subject struct {
	network  string
	selector string // key
}

// parsed is a policy, read.
type parsed struct {
	*v1alpha1.Policy
	subject subject
	rules   []*rule // ingress, then egress
}

// parse reads a policy, or says which field is wrong.
func parse(p *v1alpha1.Policy) (*parsed, error) {
	out := &parsed{Policy: p, subject: subject{network: p.Spec.Network}}
	if p.Spec.Selector != nil {
		s, err := selectorOf("spec.selector", p.Spec.Selector)
		if err != nil {
			return nil, err
		}
		out.subject.selector = s.Key
	}
	for direction, rules := range map[string][]v1alpha1.PolicyRule{ingress: p.Spec.Ingress, egress: p.Spec.Egress} {
		for i, spec := range rules {
			r := &rule{PolicyRule: spec, policy: p, direction: direction, index: i}
			for j, given := range spec.Peers {
				one, err := parsePeer(fmt.Sprintf("%s.peers[%d]", r.field(), j), given)
				if err != nil {
					return nil, err
				}
				r.peers = append(r.peers, one)
			}
			out.rules = append(out.rules, r)
		}
	}
	slices.SortFunc(out.rules, func(a, b *rule) int {
		return cmp.Or(-cmp.Compare(a.direction, b.direction), cmp.Compare(a.index, b.index))
	})
	return out, nil
}

func parsePeer(field string, given v1alpha1.PolicyPeer) (peer, error) {
	switch {
	case given.Network != "":
		return peer{network: given.Network}, nil
	case given.Internet:
		return peer{internet: true}, nil
	case given.Selector != nil:
		s, err := selectorOf(field+".selector", given.Selector)
		return peer{selector: s.Key}, err
	}
	whole, err := netip.ParsePrefix(given.CIDR)
	if err != nil {
		return peer{}, fmt.Errorf("%s.cidr: %q: must be a range in CIDR form, for example 10.88.0.0/24", field, given.CIDR)
	}
	var except []netip.Prefix
	for i, e := range given.Except {
		p, err := netip.ParsePrefix(e)
		if err != nil {
			return peer{}, fmt.Errorf("%s.except[%d]: %q: must be a range in CIDR form, for example 10.88.0.0/24", field, i, e)
		}
		except = append(except, p)
	}
	return peer{prefixes: without(whole.Masked(), except)}, nil
}

// inOrder sorts policies as they are looked at: by priority, and of one
// priority the older first.
func inOrder(policies []*v1alpha1.Policy) []*v1alpha1.Policy {
	out := slices.Clone(policies)
	slices.SortFunc(out, func(a, b *v1alpha1.Policy) int {
		return cmp.Or(cmp.Compare(a.Spec.Priority, b.Spec.Priority), Older(a, b))
	})
	return out
}

// Older compares policies by age, and of one age by name.
func Older(a, b *v1alpha1.Policy) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}
