// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"net/netip"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
)

// dnsPort is where names are asked for.
const dnsPort = 53

// nameServer lets a network's endpoints reach the name server at their
// gateway's port 53, by load balancers of the shared router. Only the destination
// is rewritten: what a client may see depends on its address.
//
// They are not the switch's, which would track the connections of all frames
// that cross it. The router tracks what is for its own address alone.
func nameServer(n *v1alpha1.Network) (rows []ovnsync.Row) {
	for _, protocol := range []string{nbdb.LoadBalancerProtocolUDP, nbdb.LoadBalancerProtocolTCP} {
		vips := map[string]string{}
		for _, s := range n.Status.Subnets {
			gateway, err := netip.ParseAddr(s.Gateway)
			if err != nil {
				continue // Network has refused it
			}
			server := netip.MustParsePrefix(UplinkAddress).Addr()
			if gateway.Is6() {
				server = netip.MustParsePrefix(UplinkAddress6).Addr()
			}
			vips[netip.AddrPortFrom(gateway, dnsPort).String()] = netip.AddrPortFrom(server, dnsPort).String()
		}
		rows = append(rows, ovnsync.Row{
			ID: nameServerID(n.Name, protocol),
			Model: &nbdb.LoadBalancer{Name: nameServerName(n.Name, protocol), Protocol: &protocol, Vips: vips,
				// The router's port answers for the address. Load balancers that did
				// too would answer at each port for each of them: flows that grow with
				// the square of the networks.
				Options: map[string]string{"neighbor_responder": "none"}},
			Columns: loadBalancerColumns,
			Members: []ovnsync.Member{{Table: nbdb.LogicalRouterTable, ID: sharedID, Column: "load_balancer"}},
		})
	}
	return rows
}
