// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package policytest owns an oracle that says what policies mean, from the
// objects alone: tests compare what was compiled, and real traffic, with it. It
// must share no code with package policy, and must not be used outside of tests.
package policytest

import (
	"cmp"
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// Host is an end of traffic: an endpoint, a network's gateway, or something
// outside, which has no network.
type Host struct {
	Name      string
	Network   string
	IsGateway bool
	Labels    labels.Set
	MAC       string
	Addresses []netip.Addr
}

// Address is the host's address of a family, if it has one.
func (h Host) Address(is6 bool) (netip.Addr, bool) {
	i := slices.IndexFunc(h.Addresses, func(a netip.Addr) bool { return a.Is6() == is6 })
	if i < 0 {
		return netip.Addr{}, false
	}
	return h.Addresses[i], true
}

// Outcomes of an attempt to connect.
const (
	Passes   = "passes"
	Dropped  = "dropped"
	Rejected = "rejected"
)

// Oracle says what policies mean, from their description alone: it shares no
// code with what it is compared with.
func Oracle(networks []*v1alpha1.Network, policies []*v1alpha1.Policy, from, to Host, is6 bool, protocol string, port int) string {
	source, _ := from.Address(is6)
	destination, _ := to.Address(is6)
	ordered := slices.Clone(policies)
	slices.SortFunc(ordered, func(a, b *v1alpha1.Policy) int {
		return cmp.Or(cmp.Compare(a.Spec.Priority, b.Spec.Priority),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	service := to.IsGateway && (port == 53 && protocol != "sctp" || port == 67 && protocol == "udp")
	out, in := v1alpha1.PolicyAction(""), v1alpha1.PolicyAction("")
	for _, p := range ordered {
		if out == "" && isFor(p, from) {
			out = decide(p.Spec.Egress, to, destination, protocol, port, service)
		}
		if in == "" && isFor(p, to) {
			in = decide(p.Spec.Ingress, from, source, protocol, port, false)
		}
	}
	switch {
	case out == v1alpha1.PolicyDeny:
		return Dropped
	case out == v1alpha1.PolicyReject:
		return Rejected
	case in == v1alpha1.PolicyDeny:
		return Dropped
	case in == v1alpha1.PolicyReject:
		return Rejected
	case out == v1alpha1.PolicyAllow || in == v1alpha1.PolicyAllow:
		return Passes
	case to.IsGateway || from.Network == "" || to.Network == "":
		return Passes
	case from.Network != to.Network:
		return Dropped
	}
	for _, n := range networks {
		if n.Name == from.Network && n.Spec.InterContainer != nil && !*n.Spec.InterContainer {
			return Dropped
		}
	}
	return Passes
}

func isFor(p *v1alpha1.Policy, h Host) bool {
	if h.Network == "" || h.IsGateway {
		return false
	}
	if p.Spec.Selector != nil {
		return selects(p.Spec.Selector, h)
	}
	return p.Spec.Network == h.Network
}

func selects(s *metav1.LabelSelector, h Host) bool {
	if h.Network == "" || h.IsGateway {
		return false
	}
	for k, v := range s.MatchLabels {
		if h.Labels[k] != v {
			return false
		}
	}
	return true
}

// decide finds the first rule that matches. DNS and DHCP on the gateway are
// decided by rules alone that name them: by port, and not by the name of a
// network.
func decide(rules []v1alpha1.PolicyRule, peer Host, address netip.Addr, protocol string, port int, service bool) v1alpha1.PolicyAction {
	for _, r := range rules {
		if r.Protocol != "" && r.Protocol != "any" && string(r.Protocol) != protocol {
			continue
		}
		hit := len(r.Ports) == 0 && !service
		for _, x := range r.Ports {
			hit = hit || int(x.Port) == port || int(x.Port) <= port && port <= int(x.EndPort)
		}
		if !hit {
			continue
		}
		hit = len(r.Peers) == 0
		for _, x := range r.Peers {
			hit = hit || isPeer(x, peer, address, service)
		}
		if hit {
			return r.Action
		}
	}
	return ""
}

func isPeer(x v1alpha1.PolicyPeer, h Host, address netip.Addr, service bool) bool {
	switch {
	case x.Internet:
		return h.Network == ""
	case x.Selector != nil:
		return selects(x.Selector, h)
	case x.Network != "":
		return x.Network == h.Network && !service
	}
	for _, e := range x.Except {
		if netip.MustParsePrefix(e).Contains(address) {
			return false
		}
	}
	return netip.MustParsePrefix(x.CIDR).Contains(address)
}
