// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
)

// Input is what policies are compiled from.
type Input struct {
	// Networks are all networks whose subnets are known.
	Networks []Network
	// Policies are those that are accepted.
	Policies []*v1alpha1.Policy
	// Selected names, for each selector's key, the networks that have
	// endpoints which it selects.
	Selected map[string][]string
}

// Program is what policies are compiled to.
type Program struct {
	// Rows are the rows of all policies.
	Rows []ovnsync.Row
	// Networks are those that have ACLs of policies: see Gate.
	Networks map[string]bool
}

// Compile returns the rows that policies stand for. Their number depends on
// the rules and on the networks that they are for, not on the endpoints.
func Compile(in Input) (*Program, error) {
	c := &compiler{
		networks: map[string]Network{},
		selected: in.Selected,
		applied:  map[string][]*parsed{},
		guarded:  map[string]bool{},
	}
	for _, n := range in.Networks {
		c.networks[n.Name] = n
		c.subnets = append(c.subnets, n.Subnets...)
	}
	for _, p := range inOrder(in.Policies) {
		one, err := parse(p)
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", p.Name, err)
		}
		c.policies = append(c.policies, one)
		for _, network := range c.places(one.subject) {
			c.applied[network] = append(c.applied[network], one)
		}
	}
	c.sets(in.Networks)
	order := slices.Sorted(maps.Keys(c.applied))
	for _, network := range order {
		if err := c.network(c.networks[network]); err != nil {
			return nil, fmt.Errorf("network %s: %w", network, err)
		}
	}
	for _, network := range order {
		c.mirrors(c.networks[network])
	}
	for _, p := range c.policies {
		c.opening(p)
	}
	out := &Program{Rows: c.rows, Networks: map[string]bool{}}
	for _, network := range order {
		out.Networks[network] = true
	}
	return out, nil
}

type compiler struct {
	networks map[string]Network
	subnets  []netip.Prefix // of all networks
	selected map[string][]string
	policies []*parsed // in the order in which they are looked at
	// applied are the policies that are for endpoints of a network.
	applied map[string][]*parsed
	// guarded networks have a guard.
	guarded map[string]bool
	rows    []ovnsync.Row
	logs    bool
}

// places are the networks that a subject has endpoints in.
func (c *compiler) places(s subject) []string {
	names := c.selected[s.selector]
	if s.selector == "" {
		names = []string{s.network}
	}
	var out []string
	for _, name := range names {
		if _, ok := c.networks[name]; ok && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// within are the addresses of a subject's endpoints in a network, on its switch.
func (s subject) within(n Network) addresses {
	if s.selector != "" {
		return inSet(selectedIn(s.selector, n.UID))
	}
	return n.endpoints()
}

// from are the addresses of all endpoints of a subject, seen from the switch
// of network n.
func (c *compiler) from(s subject, n Network) addresses {
	switch {
	case s.selector != "":
		return inSet(selectedSet(s.selector))
	case s.network == n.Name:
		return n.endpoints()
	}
	return c.networks[s.network].routed()
}

// peersOf are the addresses of a rule's peers, seen from the switch of n.
func (c *compiler) peersOf(r *rule, n Network) addresses {
	if len(r.peers) == 0 {
		return addresses{everywhere: true}
	}
	var out addresses
	for _, p := range r.peers {
		switch {
		case p.internet:
			out = out.and(internet())
		case p.selector != "":
			out = out.and(inSet(selectedSet(p.selector)))
		case p.network != "":
			out = out.and(c.from(subject{network: p.network}, n))
		default:
			out = out.and(addressesOf(p.prefixes...))
		}
	}
	return out
}

// network adds the ACLs of one network's switch.
func (c *compiler) network(n Network) error {
	for _, direction := range []string{egress, ingress} {
		var rules []*rule
		var texts []string
		for _, p := range c.applied[n.Name] {
			for _, r := range p.rules {
				if r.direction != direction {
					continue
				}
				source, destination := p.subject.within(n), c.peersOf(r, n)
				if direction == ingress {
					source, destination = destination, source
				}
				if text := match(source, destination, r.Protocol, r.Ports); text != "" {
					rules, texts = append(rules, r), append(texts, text)
				}
			}
		}
		priorities, err := ranks(rules)
		if err != nil {
			return err
		}
		for i, r := range rules {
			c.add(c.ruleACL(ruleID(n.Name, r), n, r, priorities[i], texts[i]))
		}
	}
	if err := c.named(n); err != nil {
		return err
	}
	c.base(n)
	return nil
}

// mirrors adds what rules of other switches open through this one's guard.
// Whether they are overruled there is decided there.
func (c *compiler) mirrors(n Network) {
	for _, p := range c.policies {
		for _, r := range p.rules {
			if !r.opens() || !c.touches(r, n) {
				continue
			}
			if p.subject.network == n.Name && (r.direction == ingress || n.InterContainer) {
				continue // decided by the rule itself
			}
			if !c.guarded[n.Name] && (r.direction == ingress || n.InterContainer) {
				continue // nothing stands against it
			}
			peers := c.peersOf(r, n)
			if peers.everywhere {
				peers = n.endpoints()
			}
			source, destination, direction := peers, c.from(p.subject, n), fromPort
			if r.direction == egress {
				source, destination, direction = destination, source, toPort
			}
			if text := match(source, destination, r.Protocol, r.Ports); text != "" {
				c.add(acl(mirrorID(n.Name, r), n, direction, priorityMirror, text, allow))
			}
		}
	}
}

// touches tells whether a rule's peers may be endpoints of a network.
func (c *compiler) touches(r *rule, n Network) bool {
	return len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(p peer) bool {
		switch {
		case p.internet:
			return false
		case p.selector != "":
			return slices.Contains(c.selected[p.selector], n.Name)
		case p.network != "":
			return p.network == n.Name
		}
		return len(within(p.prefixes, n.Subnets)) > 0
	})
}

// opened are the addresses within networks that rules of a policy connect its
// subject with.
func (c *compiler) opened(p *parsed) addresses {
	var out addresses
	for _, r := range p.rules {
		if !r.opens() {
			continue
		}
		if len(r.peers) == 0 {
			return everyNetwork()
		}
		for _, one := range r.peers {
			switch {
			case one.internet:
			case one.selector != "":
				out = out.and(inSet(selectedSet(one.selector)))
			case one.network != "":
				if one.network != p.subject.network {
					out = out.and(c.networks[one.network].routed())
				}
			default:
				out = out.and(c.inNetworks(one.prefixes))
			}
		}
	}
	return out
}

// inNetworks are the parts of prefixes that lie in networks.
func (c *compiler) inNetworks(these []netip.Prefix) addresses {
	parts := addressesOf(within(these, c.subnets)...)
	all := addressesOf(within(c.subnets, c.subnets)...)
	every := everyNetwork()
	if len(all.v4) > 0 && slices.Equal(parts.v4, all.v4) {
		parts.v4 = every.v4
	}
	if len(all.v6) > 0 && slices.Equal(parts.v6, all.v6) {
		parts.v6 = every.v6
	}
	return parts
}

// sets adds the address sets that expressions name.
func (c *compiler) sets(networks []Network) {
	names := map[string]bool{}
	usesInternet := false
	for _, p := range c.policies {
		if p.subject.selector != "" {
			names[selectedSet(p.subject.selector)] = true
			for _, network := range c.places(p.subject) {
				names[selectedIn(p.subject.selector, c.networks[network].UID)] = true
			}
		}
		for _, r := range p.rules {
			c.logs = c.logs || r.Log
			for _, one := range r.peers {
				usesInternet = usesInternet || one.internet
				if one.selector != "" {
					names[selectedSet(one.selector)] = true
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		c.rows = append(c.rows, addressSet(name+"_4"), addressSet(name+"_6"))
	}
	if usesInternet {
		v4, v6 := outside(networks)
		c.rows = append(c.rows, filledSet(setInternet4, v4), filledSet(setInternet6, v6))
	}
	if c.logs {
		c.rows = append(c.rows, meter()...)
	}
}
