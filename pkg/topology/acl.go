// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"strings"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
)

// Priorities of ACLs on a network's switch; package policy has its own between
// them. The higher is looked at first.
const (
	ACLPriorityRouter  = 32700
	aclPriorityServers = 32650
	ACLPriorityGateway = 1410
	ACLPriorityNetwork = 1400
)

// ACL is a row on the switch of a network.
func ACL(id, network string, model nbdb.ACL) ovnsync.Row {
	return ovnsync.Row{
		ID:      id,
		Model:   &model,
		Columns: aclColumns,
		Members: []ovnsync.Member{{Table: nbdb.LogicalSwitchTable, ID: switchID(network), Column: "acls"}},
	}
}

// networkACLs are the rows that every network has, and those of one whose
// endpoints are separated. None of them tracks connections. They come with the
// switch, in its transaction: what ovn-controller computes for it anyway.
func networkACLs(n *v1alpha1.Network) []ovnsync.Row {
	row := func(what string, direction nbdb.ACLDirection, priority int, match string, action nbdb.ACLAction) ovnsync.Row {
		return ACL("network/"+n.Name+"/"+what, n.Name,
			nbdb.ACL{Direction: direction, Priority: priority, Match: match, Action: action})
	}
	in, out := nbdb.ACLDirectionFromLport, nbdb.ACLDirectionToLport
	router := RouterMAC(n.Name).String()
	rows := []ovnsync.Row{
		// Endpoints cannot send from the router's MAC address: port security.
		row("router", in, ACLPriorityRouter, "eth.src == "+router, nbdb.ACLActionAllowStateless),
		// Only OVN itself is a DHCP server.
		row("servers", in, aclPriorityServers, "udp.src == {67, 547}", nbdb.ACLActionDrop),
	}
	if n.Spec.InterContainer == nil || *n.Spec.InterContainer {
		return rows
	}
	// What the router sends has its addresses; what is sent to it has its MAC.
	from, within := separation(n)
	return append(rows,
		row("to-router", out, ACLPriorityRouter, "eth.dst == "+router, nbdb.ACLActionAllowStateless),
		row("from-gateway", out, ACLPriorityGateway, from, nbdb.ACLActionAllow),
		row("separated", out, ACLPriorityNetwork, within, nbdb.ACLActionDrop),
	)
}

// separation returns the matches for what a network's gateways send, and for
// what its endpoints send to each other. Whatever its subnets are, endpoints
// have IPv6 link-local addresses, and may have those of IPv4.
func separation(n *v1alpha1.Network) (fromGateway, within string) {
	families := []struct {
		name                string
		gateways, endpoints []string
	}{
		{name: "ip4", endpoints: []string{LinkLocal4}},
		{name: "ip6", gateways: []string{LinkLocal(RouterMAC(n.Name)).String()}, endpoints: []string{LinkLocal6}},
	}
	for _, s := range n.Status.Subnets {
		f := &families[0]
		if strings.Contains(s.CIDR, ":") {
			f = &families[1]
		}
		f.gateways, f.endpoints = append(f.gateways, s.Gateway), append(f.endpoints, s.CIDR)
	}
	var from, both []string
	for _, f := range families {
		set := "{" + strings.Join(f.endpoints, ", ") + "}"
		if len(f.gateways) > 0 {
			from = append(from, f.name+".src == {"+strings.Join(f.gateways, ", ")+"}")
		}
		both = append(both, "("+f.name+".src == "+set+" && "+f.name+".dst == "+set+")")
	}
	return strings.Join(from, " || "), strings.Join(both, " || ")
}
