// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// TestEditedByHand: what is edited by hand in a row of ours is put back where it decides
// whether, where or how packets go, and left where it does not.
func TestEditedByHand(t *testing.T) {
	w := newWorld(t)
	netns(t, "c")
	n := &v1alpha1.Network{}
	n.Name = "net"
	n.Spec.Subnets = []v1alpha1.Subnet{{CIDR: "10.1.0.0/24"}, {CIDR: "fd00:1::/64"}}
	n.Spec.DHCP = &v1alpha1.NetworkDHCP{Enabled: true}
	w.create(t, n)
	c := await(t, w, w.attachment(t, "c", "net", func(s *v1alpha1.AttachmentSpec) {
		s.Bandwidth = &v1alpha1.Bandwidth{Ingress: &v1alpha1.BandwidthLimit{Rate: 1e9}}
	}), "ready", ready[*v1alpha1.Attachment])
	await(t, w, w.policy(t, "p", `{network: net, ingress: [{action: Deny, protocol: tcp, ports: [{port: 80}], log: true}]}`), "ready", ready[*pol])

	var (
		containerPort = `name="` + topology.PortName(c.UID) + `"`
		routerPort    = "type=router"
		named         = `name!=""`
		policyACL     = `log=true`
		world         = `ip_prefix="0.0.0.0/0"`
		isolation     = "priority=1000"
		ours          = `external_ids:arca-owner-uid!=""`
	)
	want := w.flows(t)
	for _, e := range []struct{ table, which, edit string }{
		{"Logical_Switch", named, "name=other"},
		{"Logical_Router", named, "name=other"},
		{"Logical_Router", named, "enabled=false"},
		{"Logical_Router", named, "options:chassis=elsewhere"},
		{"Logical_Switch_Port", containerPort, "enabled=false"},
		{"Logical_Switch_Port", containerPort, "tag=7"},
		{"Logical_Switch_Port", containerPort, "tag_request=0"},
		{"Logical_Switch_Port", containerPort, "parent_name=other"},
		{"Logical_Switch_Port", containerPort, "options:requested-chassis=elsewhere"},
		{"Logical_Switch_Port", containerPort, "type=localport"},
		{"Logical_Switch_Port", containerPort, "addresses=unknown"},
		{"Logical_Switch_Port", containerPort, "port_security=[]"},
		{"Logical_Switch_Port", containerPort, "dhcpv4_options=[]"},
		{"Logical_Switch_Port", containerPort, "name=other"},
		{"Logical_Switch_Port", routerPort, "enabled=false"},
		{"Logical_Switch_Port", routerPort, "options:router-port=other"},
		{"Logical_Router_Port", named, "enabled=false"},
		{"Logical_Router_Port", named, "peer=other"},
		{"Logical_Router_Port", named, "options:gateway_mtu=600"},
		{"Logical_Router_Port", named, `networks="10.99.0.1/24"`},
		{"Logical_Router_Port", named, `mac="02:00:00:00:00:01"`},
		{"Logical_Router_Static_Route", world, "route_table=other"},
		{"Logical_Router_Static_Route", world, "policy=src-ip"},
		{"Logical_Router_Static_Route", world, "output_port=other"},
		{"Logical_Router_Static_Route", world, `nexthop="100.64.0.9"`},
		{"Logical_Router_Policy", isolation, "chain=other"},
		{"Logical_Router_Policy", isolation, "action=allow"},
		{"Logical_Router_Policy", isolation, `match="ip6.src == ::1"`},
		{"Logical_Router_Policy", isolation, "options:pkt_mark=1"},
		{"ACL", policyACL, "tier=3"},
		{"ACL", policyACL, "action=allow"},
		{"ACL", policyACL, "priority=1"},
		{"ACL", policyACL, "log=false"},
		{"Load_Balancer", ours, "options:reject=true"},
		{"Load_Balancer", ours, "selection_fields=ip_src"},
		{"Load_Balancer", ours, `ip_port_mappings:"10.1.0.2"="other:10.1.0.9"`},
		{"Load_Balancer", ours, `vips:"10.1.0.1:53"="10.1.0.9:53"`},
		{"DHCP_Options", ours, "options:lease_time=1"},
		{"QoS", ours, "bandwidth:rate=1"},
		{"QoS", ours, "action:dscp=1"},
		{"Meter", ours, "unit=kbps"},
		{"Meter_Band", ours, "rate=1"},
		{"Gateway_Chassis", ours, "chassis_name=elsewhere"},
		{"Port_Group", named, "name=other"},
		{"Address_Set", ours, "name=other"},
	} {
		t.Run(e.table+" "+e.edit, func(t *testing.T) {
			column, _, _ := strings.Cut(e.edit, "=")
			column, _, _ = strings.Cut(column, ":")
			row := strings.Fields(w.nb(t, "--bare", "--columns=_uuid", "find", e.table, e.which))
			if len(row) == 0 {
				t.Fatalf("no row of %s has %s", e.table, e.which)
			}
			before := w.nb(t, "get", e.table, row[0], column)
			w.nb(t, "set", e.table, row[0], e.edit)
			w.eventually(t, column+" is as it was", func(now string) bool { return now == before }, "get", e.table, row[0], column)
		})
	}
	// So are those that refer to rows of others.
	for _, e := range []struct{ table, which, other, column string }{
		{"Logical_Router_Port", named, "HA_Chassis_Group name=other", "ha_chassis_group"},
		{"Logical_Switch_Port", containerPort, "HA_Chassis_Group name=other2", "ha_chassis_group"},
		{"Logical_Switch_Port", containerPort, "DHCP_Options cidr=10.9.0.0/24", "dhcpv4_options"},
		{"Load_Balancer", ours, `Load_Balancer_Health_Check vip="10.1.0.1:53"`, "health_check"},
	} {
		t.Run(e.table+" "+e.column, func(t *testing.T) {
			row := strings.Fields(w.nb(t, "--bare", "--columns=_uuid", "find", e.table, e.which))[0]
			before := w.nb(t, "get", e.table, row, e.column)
			w.nb(t, append(append([]string{"--id=@other", "create"}, strings.Fields(e.other)...), "--", "set", e.table, row, e.column+"=@other")...)
			w.eventually(t, e.column+" is as it was", func(now string) bool { return now == before }, "get", e.table, row, e.column)
		})
	}
	// Whose a row is, is told by keys.
	for _, table := range []string{"Logical_Switch", "Logical_Router", "Logical_Switch_Port", "Logical_Router_Port", "Port_Group", "Address_Set", "Load_Balancer", "ACL"} {
		for _, edit := range [][]string{
			{"set", "external_ids:arca-owner-kind=other"}, {"set", "external_ids:arca-owner-name=other"}, {"set", "external_ids:arca-owner-uid=other"},
			{"set", "external_ids:arca-row=other"}, {"set", "external_ids:arca-members=other"}, {"clear", "external_ids"},
		} {
			t.Run(table+" "+strings.Join(edit, " "), func(t *testing.T) {
				row := strings.Fields(w.nb(t, "--bare", "--columns=_uuid", "find", table, ours))[0]
				all := []string{"--no-headings", "--format=csv", "--columns=external_ids", "find", table, ours}
				before := sorted(w.nb(t, all...))
				w.nb(t, edit[0], table, row, edit[1])
				w.eventually(t, "the rows are as they were", func(now string) bool { return sorted(now) == before }, all...)
			})
		}
	}
	now := ""
	await(t, w, c, "the flows are as they were", func(*v1alpha1.Attachment) bool { now = w.flows(t); return now == want })

	for _, e := range []struct{ table, which, edit string }{
		{"Logical_Switch", named, "other_config:mcast_snoop=true"},
		{"Logical_Switch", named, "external_ids:theirs=kept"},
		{"ACL", policyACL, "label=7"},
		{"Meter", ours, "fair=true"},
	} {
		column, value, _ := strings.Cut(e.edit, "=")
		row := strings.Fields(w.nb(t, "--bare", "--columns=_uuid", "find", e.table, e.which))[0]
		w.nb(t, "set", e.table, row, e.edit)
		// A row of the same owner that is put back tells that it was looked at.
		w.nb(t, "set", e.table, row, "external_ids:arca-owner-name=other")
		w.eventually(t, "the row is ours again", func(out string) bool { return !strings.Contains(out, "other") }, "get", e.table, row, "external_ids:arca-owner-name")
		if got := strings.TrimSpace(w.nb(t, "get", e.table, row, column)); got != value && got != `"`+value+`"` {
			t.Errorf("%s %s: it is %s now, want it left alone", e.table, e.edit, got)
		}
	}
}

// sorted orders lines.
func sorted(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
