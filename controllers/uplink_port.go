// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"net/netip"
	"slices"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/topology"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

var (
	uplinkAddress4 = netip.MustParsePrefix(topology.UplinkAddress)
	uplinkAddress6 = netip.MustParsePrefix(topology.UplinkAddress6)
	joinRouter4    = netip.MustParsePrefix(topology.JoinRouterAddress).Addr()
	joinRouter6    = netip.MustParsePrefix(topology.JoinRouterAddress6).Addr()
)

// uplinkMetric is that of the routes to the subnets: a route of the host's own
// to the same place has a lower one, and stays in force.
const uplinkMetric = 2048

// uplinkPort is the host's end of the join switch, with a route to each
// network's subnets. It takes the largest packets of any network; what is too
// large for another is answered by the host, as the route's MTU says. IPv6 is configured only where a network has it: there are
// hosts without.
func uplinkPort(networks []v1alpha1.Network) vnet.Port {
	p := vnet.Port{
		Owner:     vnet.Owner(topology.UplinkOwner()),
		Type:      vnet.Internal,
		Name:      topology.UplinkInterface,
		IfaceID:   topology.UplinkPortName,
		MAC:       topology.UplinkMAC(),
		Addresses: []netip.Prefix{uplinkAddress4},
		MTU:       v1alpha1.DefaultMTU,
	}
	for i := range networks {
		n := networks[i].AsInForce()
		if len(n.Status.Subnets) > 0 {
			p.MTU = max(p.MTU, n.EffectiveMTU())
		}
		for _, s := range n.Status.Subnets {
			cidr, err := netip.ParsePrefix(s.CIDR)
			if err != nil {
				continue // nothing but us writes it
			}
			via := joinRouter4
			if cidr.Addr().Is6() {
				via = joinRouter6
				if !slices.Contains(p.Addresses, uplinkAddress6) {
					p.Addresses = append(p.Addresses, uplinkAddress6)
				}
			}
			p.Routes = append(p.Routes, vnet.Route{Dst: cidr, Via: via, Metric: uplinkMetric, MTU: n.EffectiveMTU()})
		}
	}
	return p
}
