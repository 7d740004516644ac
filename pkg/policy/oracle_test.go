// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"cmp"
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// host is an end of traffic: an endpoint, a network's gateway, or something
// outside, which has no network.
type host struct {
	name      string
	network   string
	isGateway bool
	labels    labels.Set
	mac       string
	addresses []netip.Addr
}

func (h host) address(is6 bool) (netip.Addr, bool) {
	i := slices.IndexFunc(h.addresses, func(a netip.Addr) bool { return a.Is6() == is6 })
	if i < 0 {
		return netip.Addr{}, false
	}
	return h.addresses[i], true
}

// Outcomes of an attempt to connect.
const (
	passes   = "passes"
	dropped  = "dropped"
	rejected = "rejected"
)

// oracle says what policies mean, from their description alone: it shares no
// code with what it is compared with.
func oracle(networks []*v1alpha1.Network, policies []*v1alpha1.Policy, from, to host, is6 bool, protocol string, port int) string {
	source, _ := from.address(is6)
	destination, _ := to.address(is6)
	ordered := slices.Clone(policies)
	slices.SortFunc(ordered, func(a, b *v1alpha1.Policy) int {
		return cmp.Or(cmp.Compare(a.Spec.Priority, b.Spec.Priority),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	service := to.isGateway && (port == 53 && protocol != "sctp" || port == 67 && protocol == "udp")
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
		return dropped
	case out == v1alpha1.PolicyReject:
		return rejected
	case in == v1alpha1.PolicyDeny:
		return dropped
	case in == v1alpha1.PolicyReject:
		return rejected
	case out == v1alpha1.PolicyAllow || in == v1alpha1.PolicyAllow:
		return passes
	case to.isGateway || from.network == "" || to.network == "":
		return passes
	case from.network != to.network:
		return dropped
	}
	for _, n := range networks {
		if n.Name == from.network && n.Spec.InterContainer != nil && !*n.Spec.InterContainer {
			return dropped
		}
	}
	return passes
}

func isFor(p *v1alpha1.Policy, h host) bool {
	if h.network == "" || h.isGateway {
		return false
	}
	if p.Spec.Selector != nil {
		return selects(p.Spec.Selector, h)
	}
	return p.Spec.Network == h.network
}

func selects(s *metav1.LabelSelector, h host) bool {
	if h.network == "" || h.isGateway {
		return false
	}
	for k, v := range s.MatchLabels {
		if h.labels[k] != v {
			return false
		}
	}
	return true
}

// decide finds the first rule that matches. DNS and DHCP on the gateway are
// decided by rules alone that name them: by port, and not by the name of a
// network.
func decide(rules []v1alpha1.PolicyRule, peer host, address netip.Addr, protocol string, port int, service bool) v1alpha1.PolicyAction {
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

func isPeer(x v1alpha1.PolicyPeer, h host, address netip.Addr, service bool) bool {
	switch {
	case x.Internet:
		return h.network == ""
	case x.Selector != nil:
		return selects(x.Selector, h)
	case x.Network != "":
		return x.Network == h.network && !service
	}
	for _, e := range x.Except {
		if netip.MustParsePrefix(e).Contains(address) {
			return false
		}
	}
	return netip.MustParsePrefix(x.CIDR).Contains(address)
}
