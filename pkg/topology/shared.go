// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"net/netip"

	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
)

// SharedOwner owns the rows that all networks share.
func SharedOwner() ovnsync.Owner {
	return ovnsync.Owner{Kind: KindTopology, Name: sharedID, UID: sharedID}
}

// Priorities of policies on the shared router; the higher is looked at first.
// Those above isolation are for rules that open a way between networks.
const (
	// priorityRouter lets the router's own answers (echo replies, errors) out.
	// An endpoint cannot send from the router's addresses: port security.
	priorityRouter    = 30000
	priorityIsolation = 1000
	// RouterPriorityOpening is for what policies open between networks.
	RouterPriorityOpening = 2000
	// priorityLinkLocal keeps link-local addresses on their network, above all that
	// opens (RFC 3927, 7): port security lets endpoints send from those they have.
	priorityLinkLocal = 31000
	// priorityLinkLocal6 does so for IPv6, where the router has such addresses too.
	priorityLinkLocal6 = 29500
	// priorityInternal keeps internal networks in, whatever a rule of a person
	// opens. The host's answers to its own questions come back.
	priorityInternal = 29000
	// priorityUplink opens the host's end of the join switch, whose own rules
	// (package nat) tell answers from questions, as the router cannot.
	priorityUplink = 1200
)

// Shared returns the rows that all networks share: the router, the join switch
// and the isolation between networks.
func Shared() []ovnsync.Row {
	routerPort := JoinSwitchName + "-rtr"
	rows := []ovnsync.Row{
		{
			ID:      sharedID,
			Model:   &nbdb.LogicalRouter{Name: RouterName},
			Columns: routerColumns,
		},
		{
			ID:      sharedID,
			Model:   &nbdb.LogicalSwitch{Name: JoinSwitchName},
			Columns: switchColumns,
		},
		{
			ID: joinID,
			Model: &nbdb.LogicalRouterPort{
				Name:     routerPort,
				MAC:      systemMAC("join").String(),
				Networks: []string{JoinRouterAddress, JoinRouterAddress6},
			},
			Columns: routerPortColumns,
			Members: []ovnsync.Member{{Table: nbdb.LogicalRouterTable, ID: sharedID, Column: "ports"}},
		},
		routerSwitchPort(joinID, JoinSwitchName+"-sw", routerPort,
			ovnsync.Member{Table: nbdb.LogicalSwitchTable, ID: sharedID, Column: "ports"}),
		{
			ID: "uplink",
			Model: &nbdb.LogicalSwitchPort{
				Name:      UplinkPortName,
				Addresses: []string{UplinkMAC().String() + " " + hostPart(UplinkAddress) + " " + hostPart(UplinkAddress6)},
			},
			Columns: switchPortColumns,
			Members: []ovnsync.Member{{Table: nbdb.LogicalSwitchTable, ID: sharedID, Column: "ports"}},
		},
	}
	for _, f := range []struct{ family, subnets, gateways, internal, uplink, all string }{
		{"ip4", AddressSetSubnets4, AddressSetGateways4, AddressSetInternal4, hostPart(UplinkAddress), "0.0.0.0/0"},
		{"ip6", AddressSetSubnets6, AddressSetGateways6, AddressSetInternal6, hostPart(UplinkAddress6), "::/0"},
	} {
		rows = append(rows,
			addressSet(f.subnets),
			addressSet(f.gateways),
			addressSet(f.internal),
			ovnsync.Row{
				ID:      "world-" + f.family,
				Model:   &nbdb.LogicalRouterStaticRoute{IPPrefix: f.all, Nexthop: f.uplink},
				Columns: routeColumns,
				Members: []ovnsync.Member{{Table: nbdb.LogicalRouterTable, ID: sharedID, Column: "static_routes"}},
			},
			RouterPolicy("internal-"+f.family, priorityInternal, "outport == \""+routerPort+"\" && "+f.family+".src == $"+f.internal+
				" && "+f.family+".dst != "+f.uplink, nbdb.LogicalRouterPolicyActionDrop),
			RouterPolicy("uplink-"+f.family, priorityUplink, f.family+".src == $"+f.subnets+" && "+f.family+".dst == "+f.uplink,
				nbdb.LogicalRouterPolicyActionAllow),
			RouterPolicy("router-"+f.family, priorityRouter, f.family+".src == $"+f.gateways, nbdb.LogicalRouterPolicyActionAllow),
			RouterPolicy("isolation-"+f.family, priorityIsolation,
				f.family+".src == $"+f.subnets+" && "+f.family+".dst == $"+f.subnets, nbdb.LogicalRouterPolicyActionDrop),
		)
	}
	// Of the join range nothing but the uplink is anybody's.
	return append(rows,
		RouterPolicy("link-local-ip4", priorityLinkLocal, "ip4.src == "+LinkLocal4, nbdb.LogicalRouterPolicyActionDrop),
		RouterPolicy("link-local-ip6", priorityLinkLocal6,
			"ip6.src == "+LinkLocal6+" && ip6.dst == $"+AddressSetSubnets6, nbdb.LogicalRouterPolicyActionDrop),
		RouterPolicy("host-ip4", priorityIsolation,
			"ip4.src == $"+AddressSetSubnets4+" && ip4.dst == "+JoinCIDR, nbdb.LogicalRouterPolicyActionDrop),
		RouterPolicy("host-ip6", priorityIsolation,
			"ip6.src == $"+AddressSetSubnets6+" && ip6.dst == "+JoinCIDR6, nbdb.LogicalRouterPolicyActionDrop))
}

// Uplink returns the row that binds the router's port on the join switch to the
// host of that name: only a router with such a port balances load (nameServer).
// It is no row of Shared, for it is the host that knows its name.
func Uplink(chassis string) []ovnsync.Row {
	return []ovnsync.Row{{
		ID:      joinID,
		Model:   &nbdb.GatewayChassis{Name: JoinSwitchName, ChassisName: chassis, Priority: 1},
		Columns: gatewayChassisColumns,
		Members: []ovnsync.Member{{Table: nbdb.LogicalRouterPortTable, ID: joinID, Column: "gateway_chassis"}},
	}}
}

// UplinkAddresses are the host's addresses on the join switch.
func UplinkAddresses() []netip.Addr {
	return []netip.Addr{netip.MustParsePrefix(UplinkAddress).Addr(), netip.MustParsePrefix(UplinkAddress6).Addr()}
}

// hostPart is the address of a prefix.
func hostPart(prefix string) string { return netip.MustParsePrefix(prefix).Addr().String() }

func addressSet(name string) ovnsync.Row {
	return ovnsync.Row{ID: name, Model: &nbdb.AddressSet{Name: name}, Columns: addressSetColumns}
}

// RouterPolicy is a policy on the shared router.
func RouterPolicy(id string, priority int, match string, action nbdb.LogicalRouterPolicyAction) ovnsync.Row {
	return ovnsync.Row{
		ID:      id,
		Model:   &nbdb.LogicalRouterPolicy{Priority: priority, Match: match, Action: action},
		Columns: policyColumns,
		Members: []ovnsync.Member{{Table: nbdb.LogicalRouterTable, ID: sharedID, Column: "policies"}},
	}
}

// routerSwitchPort is the switch's end of a link to the router.
func routerSwitchPort(id, name, routerPort string, in ovnsync.Member) ovnsync.Row {
	return ovnsync.Row{
		ID: id,
		Model: &nbdb.LogicalSwitchPort{
			Name:      name,
			Type:      "router",
			Addresses: []string{"router"},
			Options:   map[string]string{"router-port": routerPort},
		},
		Columns: switchPortColumns,
		Members: []ovnsync.Member{in},
	}
}
