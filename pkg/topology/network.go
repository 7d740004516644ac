// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"net/netip"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
)

// NetworkOwner owns the rows of a network.
func NetworkOwner(n *v1alpha1.Network) ovnsync.Owner {
	return ovnsync.Owner{Kind: KindNetwork, Name: n.Name, UID: string(n.UID)}
}

// Network returns the rows of a network whose subnets are in its status: its
// switch, the router's port on it, and the port group of its endpoints.
func Network(n *v1alpha1.Network) ([]ovnsync.Row, error) {
	if len(n.Status.Subnets) == 0 {
		return nil, fmt.Errorf("network %s: status.subnets is empty", n.Name)
	}
	router := ovnsync.Row{
		ID:      routerPortID(n.Name),
		Columns: routerPortColumns,
		Members: []ovnsync.Member{{Table: nbdb.LogicalRouterTable, ID: sharedID, Column: "ports"}},
	}
	model := &nbdb.LogicalRouterPort{Name: routerPortName(n.Name), MAC: RouterMAC(n.Name).String()}
	for i, s := range n.Status.Subnets {
		cidr, err := netip.ParsePrefix(s.CIDR)
		if err != nil {
			return nil, fmt.Errorf("network %s: status.subnets[%d].cidr: %w", n.Name, i, err)
		}
		gateway, err := netip.ParseAddr(s.Gateway)
		if err != nil {
			return nil, fmt.Errorf("network %s: status.subnets[%d].gateway: %w", n.Name, i, err)
		}
		model.Networks = append(model.Networks, netip.PrefixFrom(gateway, cidr.Bits()).String())
		subnets, gateways, internal := AddressSetSubnets4, AddressSetGateways4, AddressSetInternal4
		if cidr.Addr().Is6() {
			model.Ipv6RaConfigs = routerAdvertisement(n)
			subnets, gateways, internal = AddressSetSubnets6, AddressSetGateways6, AddressSetInternal6
			router.Members = append(router.Members, ovnsync.Member{Table: nbdb.AddressSetTable, ID: gateways, Column: "addresses",
				Value: LinkLocal(RouterMAC(n.Name)).String()})
		}
		if n.Spec.Internal {
			router.Members = append(router.Members,
				ovnsync.Member{Table: nbdb.AddressSetTable, ID: internal, Column: "addresses", Value: cidr.String()})
		}
		router.Members = append(router.Members,
			ovnsync.Member{Table: nbdb.AddressSetTable, ID: subnets, Column: "addresses", Value: cidr.String()},
			ovnsync.Member{Table: nbdb.AddressSetTable, ID: gateways, Column: "addresses", Value: gateway.String()})
	}
	router.Model = model
	rows := []ovnsync.Row{
		{
			ID:      switchID(n.Name),
			Model:   &nbdb.LogicalSwitch{Name: SwitchName(n.Name)},
			Columns: switchColumns,
		},
		{
			ID:      portGroupID(n.Name),
			Model:   &nbdb.PortGroup{Name: PortGroupName(n.UID)},
			Columns: portGroupColumns,
		},
		router,
		routerSwitchPort(switchRouterPortID(n.Name), switchRouterPortName(n.Name), model.Name,
			ovnsync.Member{Table: nbdb.LogicalSwitchTable, ID: switchID(n.Name), Column: "ports"}),
	}
	rows = append(rows, networkACLs(n)...)
	if n.ServesNames() {
		rows = append(rows, nameServer(n)...)
	}
	if n.ServesDHCP() {
		rows = append(rows, dhcpOptions(n)...)
	}
	return rows, nil
}
