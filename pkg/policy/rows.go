// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

var (
	// fromPort is where a switch evaluates what an endpoint sends, toPort what
	// it receives.
	fromPort = nbdb.ACLDirectionFromLport
	toPort   = nbdb.ACLDirectionToLport

	allow     = nbdb.ACLActionAllowRelated
	drop      = nbdb.ACLActionDrop
	reject    = nbdb.ACLActionReject
	stateless = nbdb.ACLActionAllowStateless
)

var actions = map[v1alpha1.PolicyAction]nbdb.ACLAction{
	v1alpha1.PolicyAllow: allow, v1alpha1.PolicyDeny: drop, v1alpha1.PolicyReject: reject,
}

func (c *compiler) add(row ovnsync.Row) { c.rows = append(c.rows, row) }

func acl(id string, n Network, direction nbdb.ACLDirection, priority int, match string, action nbdb.ACLAction) ovnsync.Row {
	return topology.ACL(id, n.Name, nbdb.ACL{Direction: direction, Priority: priority, Match: match, Action: action})
}

// ruleACL is the row of a rule.
func (c *compiler) ruleACL(id string, n Network, r *rule, priority int, match string) ovnsync.Row {
	direction := fromPort
	if r.direction == ingress {
		direction = toPort
	}
	row := acl(id, n, direction, priority, match, actions[r.Action])
	model := row.Model.(*nbdb.ACL)
	name := r.name()
	model.Name = &name
	if r.Log {
		severity, limit := nbdb.ACLSeverityInfo, meterName
		model.Log, model.Severity, model.Meter = true, &severity, &limit
	}
	return row
}

// service is something that an endpoint asks the gateway for.
type service struct {
	protocol v1alpha1.PolicyProtocol
	port     int32
}

// services are DNS, DHCP and DHCPv6.
var services = []service{{v1alpha1.PolicyUDP, 53}, {v1alpha1.PolicyTCP, 53}, {v1alpha1.PolicyUDP, dhcpPort}, {v1alpha1.PolicyUDP, dhcp6Port}}

const (
	dhcpPort  = 67
	dhcp6Port = 547
)

// dhcp6Servers is where DHCPv6 clients ask.
var dhcp6Servers = addresses{v6: []string{"ff02::1:2"}}

// named adds the rules that name a service of the gateway: they go before what
// lets all such traffic pass.
func (c *compiler) named(n Network) error {
	priority := priorityNamed
	var last *rule
	for _, p := range c.applied[n.Name] {
		for _, r := range p.rules {
			for _, s := range services {
				text := c.namedMatch(n, p, r, s)
				if text == "" {
					continue
				}
				if last != nil && !alike(last, r) {
					priority--
				}
				last = r
				if priority < leastNamed {
					return errTooMany
				}
				c.add(c.ruleACL(namedID(n.Name, r, fmt.Sprint(s.protocol, s.port)), n, r, priority, text))
			}
		}
	}
	return nil
}

func (c *compiler) namedMatch(n Network, p *parsed, r *rule, s service) string {
	if r.direction != egress || r.Protocol != s.protocol || !slices.ContainsFunc(r.Ports, func(x v1alpha1.PortRange) bool {
		return x.Port <= s.port && s.port <= lastPort(x)
	}) {
		return ""
	}
	source, destination := p.subject.within(n), addresses{}
	for _, gateway := range n.Gateways {
		if len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(x peer) bool { return contains(x.prefixes, gateway) }) {
			destination = destination.and(addressesOf(single(gateway)))
		}
	}
	switch {
	case s.port == dhcp6Port && len(r.peers) == 0:
		destination = dhcp6Servers
	case s.port == dhcp6Port:
		return ""
	case s.port == dhcpPort && len(r.peers) == 0 && p.subject.selector == "":
		// Who has no address yet asks from none, and asks everybody.
		source = source.and(addresses{v4: []string{"0.0.0.0"}})
		destination = destination.and(addresses{v4: []string{"255.255.255.255"}})
	}
	return match(source, destination, s.protocol, []v1alpha1.PortRange{{Port: s.port}})
}

// base adds the rows that every network with policies has.
func (c *compiler) base(n Network) {
	for _, r := range []struct {
		id        string
		direction nbdb.ACLDirection
		priority  int
		match     string
		action    nbdb.ACLAction
	}{
		// What passes the router port is another switch's to judge, and is not
		// tracked there: a reply would look like something new.
		{"router", toPort, priorityRouter, "eth.dst == " + n.routerMAC().String(), stateless},
		{"services", fromPort, priorityServices,
			"((" + match(n.endpoints(), n.gateways(false), "", nil) + ") && (udp.dst == {53, 67} || tcp.dst == 53)) || " +
				"(" + match(addressesOf(linkLocal6), dhcp6Servers, v1alpha1.PolicyUDP, []v1alpha1.PortRange{{Port: dhcp6Port}}) + ")", allow},
		{"dhcp", toPort, priorityServices,
			"(" + match(n.gateways(true), n.endpoints(), "", nil) + ") && udp.src == {67, 547} && udp.dst == {68, 546}", allow},
		{"network", fromPort, priorityNetwork, match(n.endpoints(), n.endpoints(), "", nil), allow},
	} {
		c.add(acl(aclID(n.Name, r.id), n, r.direction, r.priority, r.match, r.action))
	}
	if n.InterContainer { // else topology has a row that drops
		c.add(acl(aclID(n.Name, "network-in"), n, toPort, priorityNetwork, match(n.endpoints(), n.endpoints(), "", nil), allow))
	}
	var opened addresses
	for _, p := range c.applied[n.Name] {
		opened = opened.and(c.opened(p))
	}
	out, in := match(n.routed(), opened, "", nil), match(opened, n.routed(), "", nil)
	if out == "" {
		return
	}
	c.guarded[n.Name] = true
	c.add(acl(aclID(n.Name, "guard"), n, fromPort, priorityGuard, out, drop))
	c.add(acl(aclID(n.Name, "guard-in"), n, toPort, priorityGuard, in, drop))
}

// opening adds the router policy that lets pass what lies between a policy's
// endpoints and those of other networks that its rules connect them with.
func (c *compiler) opening(p *parsed) {
	if len(c.places(p.subject)) == 0 {
		return
	}
	inside, peers := c.from(p.subject, Network{}), c.opened(p)
	there, back := match(inside, peers, "", nil), match(peers, inside, "", nil)
	if there == "" {
		return
	}
	c.rows = append(c.rows, topology.RouterPolicy("policy/"+string(p.UID), topology.RouterPriorityOpening,
		either([]string{there, back}), nbdb.LogicalRouterPolicyActionAllow))
}

func addressSet(name string) ovnsync.Row {
	return ovnsync.Row{ID: name, Model: &nbdb.AddressSet{Name: name}, Columns: []string{"name"}}
}

// filledSet is an address set whose values the row itself has.
func filledSet(name string, values []string) ovnsync.Row {
	return ovnsync.Row{ID: name, Model: &nbdb.AddressSet{Name: name, Addresses: values}, Columns: []string{"name", "addresses"}}
}

// logRate is the most log lines a second, of all rules together.
const logRate = 100

// meter bounds log lines.
func meter() []ovnsync.Row {
	return []ovnsync.Row{
		{ID: meterName, Model: &nbdb.Meter{Name: meterName, Unit: nbdb.MeterUnitPktps}, Columns: []string{"name", "unit"}},
		{
			ID: meterName, Model: &nbdb.MeterBand{Action: nbdb.MeterBandActionDrop, Rate: logRate},
			Columns: []string{"action", "rate", "burst_size"},
			Members: []ovnsync.Member{{Table: nbdb.MeterTable, ID: meterName, Column: "bands"}},
		},
	}
}
