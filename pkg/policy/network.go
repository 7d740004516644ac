// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// Network is what rules need to know of a network.
type Network struct {
	Name     string
	UID      string
	Subnets  []netip.Prefix
	Gateways []netip.Addr
	// InterContainer says whether endpoints reach each other by default.
	InterContainer bool
}

// NetworkOf reads a network whose subnets are in its status.
func NetworkOf(n *v1alpha1.Network) (Network, error) {
	out := Network{
		Name:           n.Name,
		UID:            string(n.UID),
		InterContainer: n.Spec.InterContainer == nil || *n.Spec.InterContainer,
	}
	for i, s := range n.Status.Subnets {
		subnet, err := netip.ParsePrefix(s.CIDR)
		if err != nil {
			return Network{}, fmt.Errorf("network %s: status.subnets[%d].cidr: %w", n.Name, i, err)
		}
		gateway, err := netip.ParseAddr(s.Gateway)
		if err != nil {
			return Network{}, fmt.Errorf("network %s: status.subnets[%d].gateway: %w", n.Name, i, err)
		}
		out.Subnets = append(out.Subnets, subnet)
		out.Gateways = append(out.Gateways, gateway)
	}
	return out, nil
}

// linkLocal4 and linkLocal6 are where endpoints of one network reach each other,
// whatever its subnets are.
var (
	linkLocal4 = netip.MustParsePrefix(topology.LinkLocal4)
	linkLocal6 = netip.MustParsePrefix(topology.LinkLocal6)
)

// endpoints are the addresses that the network's endpoints have, as seen on
// its own switch. Port security lets no endpoint use another's.
func (n Network) endpoints() addresses {
	return addressesOf(append([]netip.Prefix{linkLocal4, linkLocal6}, n.Subnets...)...)
}

// routed are the addresses of the network's endpoints seen from elsewhere.
func (n Network) routed() addresses { return addressesOf(n.Subnets...) }

// gateways are the router's addresses on the network. With linkLocal, those
// too from which it speaks to endpoints.
func (n Network) gateways(withLinkLocal bool) addresses {
	var out []netip.Prefix
	for _, g := range n.Gateways {
		out = append(out, single(g))
	}
	if withLinkLocal {
		out = append(out, single(topology.LinkLocal(n.routerMAC())))
	}
	return addressesOf(out...)
}

func (n Network) routerMAC() net.HardwareAddr { return topology.RouterMAC(n.Name) }
