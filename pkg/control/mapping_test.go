// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

func TestPolicyOf(t *testing.T) {
	p, fields, wrong := policyOf(&controlpb.SetNetworkPolicyRequest{NetworkId: "web", Rules: []*controlpb.NetworkPolicyRule{
		{Action: "Deny", Priority: 1},
		{Action: "allow", Protocol: "TCP", SourceNetwork: "any", DestinationNetwork: "web", Port: 80, Priority: 10},
		{Action: "reject", SourceNetwork: "web", DestinationNetwork: "db", Priority: 5},
		{Action: "allow", SourceNetwork: "web", DestinationNetwork: "internet", Priority: 7},
		{Action: "allow", SourceNetwork: "web", DestinationNetwork: "web", Priority: 9},
		{Action: "allow", Protocol: "udp", SourceNetwork: "10.0.0.0/8", Port: 1000, PortEnd: 2000, Ports: []*controlpb.PortRange{{Port: 53}}, Priority: 10, Log: true},
		{Action: "deny", Direction: "egress", Peers: []*controlpb.PolicyPeer{{Labels: map[string]string{"a": "b"}}}},
	}})
	if len(wrong) != 0 {
		t.Fatalf("wrong: %v", wrong)
	}
	const allow, deny, reject = v1alpha1.PolicyAllow, v1alpha1.PolicyDeny, v1alpha1.PolicyReject
	network := func(n string) []v1alpha1.PolicyPeer { return []v1alpha1.PolicyPeer{{Network: n}} }
	want := v1alpha1.PolicySpec{
		Network: "web",
		Ingress: []v1alpha1.PolicyRule{
			{Action: allow, Protocol: "tcp", Ports: []v1alpha1.PortRange{{Port: 80}}},
			{Action: allow, Protocol: "udp", Peers: []v1alpha1.PolicyPeer{{CIDR: "10.0.0.0/8"}}, Ports: []v1alpha1.PortRange{{Port: 1000, EndPort: 2000}, {Port: 53}}, Log: true},
			{Action: allow, Peers: network("web")},
			{Action: deny},
		},
		Egress: []v1alpha1.PolicyRule{
			{Action: allow, Peers: []v1alpha1.PolicyPeer{{Internet: true}}},
			{Action: reject, Peers: network("db")},
			{Action: deny, Peers: p.Spec.Egress[2].Peers},
		},
	}
	if p.Spec.Egress[2].Peers[0].Selector.MatchLabels["a"] != "b" {
		t.Errorf("peer by label: %v", p.Spec.Egress[2].Peers)
	}
	if diff := cmp.Diff(want, p.Spec); diff != "" {
		t.Error(diff)
	}
	for object, request := range map[string]string{
		"spec.ingress[1].peers[0].cidr":    "rules[5].source_network",
		"spec.egress[1].peers[0].network":  "rules[2].destination_network",
		"spec.egress[2].peers[0].cidr":     "rules[6].peers[0].cidr",
		"spec.ingress[0].ports[0].port":    "rules[1].port",
		"spec.ingress[1].ports[1].endPort": "rules[5].ports[1].end_port",
		"spec.ingress[3].action":           "rules[0].action",
		"spec.network":                     "network_id",
		"spec":                             "rules",
	} {
		if got := fields.request(object); got != request {
			t.Errorf("%s is %s, want %s", object, got, request)
		}
	}
}

// What is told of a policy's rules sets the same rules.
func TestPolicyInfo(t *testing.T) {
	spec := v1alpha1.PolicySpec{
		Network: "web",
		Ingress: []v1alpha1.PolicyRule{
			{Action: v1alpha1.PolicyAllow, Protocol: "tcp", Ports: []v1alpha1.PortRange{{Port: 80}, {Port: 90, EndPort: 99}}, Log: true,
				Peers: []v1alpha1.PolicyPeer{{Network: "web"}, {CIDR: "10.0.0.0/8", Except: []string{"10.1.0.0/16"}}}},
			{Action: v1alpha1.PolicyDeny},
		},
		Egress: []v1alpha1.PolicyRule{
			{Action: v1alpha1.PolicyReject, Protocol: "icmp", Peers: []v1alpha1.PolicyPeer{{Internet: true}, {Selector: &metav1.LabelSelector{
				MatchLabels:      map[string]string{"a": "b"},
				MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "c", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"d", "e"}}},
			}}}},
		},
	}
	told := policyInfo(&v1alpha1.Policy{Spec: spec})
	p, _, wrong := policyOf(&controlpb.SetNetworkPolicyRequest{NetworkId: "web", Rules: append(told.GetIngress(), told.GetEgress()...)})
	if diff := cmp.Diff(spec, p.Spec); diff != "" || len(wrong) > 0 {
		t.Error(wrong, diff)
	}
	selected := policyInfo(&v1alpha1.Policy{Spec: v1alpha1.PolicySpec{Priority: 7, Selector: spec.Egress[0].Peers[1].Selector}})
	if selected.GetPriority() != 7 || !cmp.Equal(selectorOf(selected.GetSelector()), spec.Egress[0].Peers[1].Selector) {
		t.Errorf("of a policy with a selector is told %v", selected)
	}
}

func TestPolicyOfInvalid(t *testing.T) {
	_, _, wrong := policyOf(&controlpb.SetNetworkPolicyRequest{NetworkId: "web", Rules: []*controlpb.NetworkPolicyRule{
		{Action: "", PortEnd: 9},
		{Action: "allow", SourceNetwork: "a", DestinationNetwork: "b"},
		{Action: "allow", Direction: "up"},
		{Action: "allow", Peers: []*controlpb.PolicyPeer{{Labels: map[string]string{"a": "b"}, Selector: &controlpb.LabelSelector{}}}},
	}})
	var got []string
	for _, v := range wrong {
		got = append(got, v.field)
	}
	if diff := cmp.Diff("rules[0].action rules[0].port_end rules[1].destination_network rules[2].direction rules[3].peers[0].labels", strings.Join(got, " ")); diff != "" {
		t.Error(diff)
	}
}

func TestFields(t *testing.T) {
	_, fields, _ := networkOf(&controlpb.CreateBridgeRequest{Subnet: "x", Subnets: []*controlpb.Subnet{{}}})
	for object, request := range map[string]string{
		"spec.subnets[0].cidr":            "subnet",
		"spec.subnets[0].allocationRange": "ip_range",
		"spec.subnets[0].reserved[1]":     "reserved[1]",
		"spec.subnets[1].allocationRange": "subnets[0].ip_range",
		"spec.subnets":                    "subnet",
		"spec.dnsName":                    "name",
		"spec.interContainer":             "inter_container",
		"spec.dns.upstreams[2]":           "dns.upstreams[2]",
		"metadata.name":                   "network_id",
	} {
		if got := fields.request(object); got != request {
			t.Errorf("%s is %s, want %s", object, got, request)
		}
	}
	_, fields, _ = attachmentOf(&controlpb.AttachContainerRequest{Ip: "x", Addresses: []string{"y"}})
	for object, request := range map[string]string{
		"spec.addresses[0]":             "ip",
		"spec.addresses[1]":             "addresses[0]",
		"spec.interface.netns":          "interface.netns",
		"spec.interface.relay.endpoint": "interface.relay_endpoint",
		"spec.ports[3].hostIP":          "ports[3].host_ip",
		"spec.container.name":           "hostname",
		"spec.routePriority":            "route_priority",
		"spec.networks":                 "networks", // no prefix of a name
	} {
		if got := fields.request(object); got != request {
			t.Errorf("%s is %s, want %s", object, got, request)
		}
	}
}
