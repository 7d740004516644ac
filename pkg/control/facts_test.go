// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// A translator reads back all that it has written, and what else its own clients
// ask about.
func TestFacts(t *testing.T) {
	w := startWorld(t, atOnce)
	notes := map[string]string{"docker.network.arca.dev/name": "Any text, \u00e4 and\nlines", "Example.com/Key": ""}
	n := &controlpb.CreateBridgeRequest{
		NetworkId: "facts", Name: "Facts", Subnets: []*controlpb.Subnet{{Cidr: "10.1.0.0/24", Gateway: "10.1.0.9", IpRange: "10.1.0.128/25", Reserved: []string{"10.1.0.2"}}},
		IpFamilies: []string{"IPv6", "IPv4"}, InterContainer: proto.Bool(false), Mtu: proto.Int32(1400), Egress: &controlpb.NetworkEgress{Mode: "Routed"},
		Dns: &controlpb.NetworkDNS{Search: []string{"example.com"}}, Dhcp: &controlpb.NetworkDHCP{Enabled: true},
		Labels: map[string]string{"a": "b"}, Annotations: notes,
	}
	if _, err := w.CreateBridge(within(t, patience), n); err != nil {
		t.Fatal(err)
	}
	a := tap("c1", "facts")
	a.Hostname, a.Aliases, a.Ip, a.Mac, a.Node, a.Annotations = "web", []string{"w"}, "10.1.0.7", "02:00:00:00:00:01", "here", notes
	a.Ports = []*controlpb.PublishedPort{{HostIp: "127.0.0.1", HostPort: 80, HostPortEnd: 81, ContainerPort: 8080, Protocol: "udp"}}
	a.LinkLocalAddresses = []string{"169.254.8.8", "fe80::8"}
	a.Bandwidth = &controlpb.Bandwidth{Egress: &controlpb.BandwidthLimit{Rate: 1e6, Burst: 1e6}}
	w.attach(t, a)
	w.attach(t, tap("c2", "facts"))
	w.network(t, "other", "10.2.0.0/24")
	w.attach(t, tap("c1", "other"))

	volatile := []cmp.Option{protocmp.Transform(), protocmp.IgnoreFields(&controlpb.BridgeInfo{}, "created", "uid", "conditions", "bridge_name"),
		protocmp.IgnoreFields(&controlpb.ContainerNetwork{}, "created", "uid", "conditions", "port_name")}
	list, err := w.ListBridges(within(t, patience), &controlpb.ListBridgesRequest{NetworkId: "facts"})
	if err != nil {
		t.Fatal(err)
	}
	info := &controlpb.BridgeInfo{
		NetworkId: "facts", Name: "Facts", Subnet: "10.1.0.0/24", Gateway: "10.1.0.9", Subnets: n.Subnets, Containers: []string{"c1", "c2"},
		IpFamilies: []string{"IPv4", "IPv6"}, Mtu: 1400, EgressMode: "Routed", Dns: n.Dns, Dhcp: n.Dhcp, Labels: n.Labels, Annotations: notes,
	}
	if diff := cmp.Diff([]*controlpb.BridgeInfo{info}, list.Bridges, volatile...); diff != "" {
		t.Error(diff)
	}
	if b := list.Bridges[0]; b.Uid == "" || !b.Created.IsValid() || b.Created.AsTime().Unix() <= 0 {
		t.Errorf("uid %q, created %v", b.Uid, b.Created)
	}
	on, err := w.GetContainerNetworks(within(t, patience), &controlpb.GetContainerNetworksRequest{NetworkId: "facts", ContainerId: "c1"})
	if err != nil {
		t.Fatal(err)
	}
	attachment := &controlpb.ContainerNetwork{
		NetworkId: "facts", ContainerId: "c1", Name: "c1.facts", Hostname: "web", Aliases: a.Aliases, StaticAddresses: []string{"10.1.0.7"}, StaticMac: a.Mac,
		LinkLocalAddresses: a.LinkLocalAddresses,
		Node:               "here", Ports: a.Ports, Bandwidth: a.Bandwidth, Interface: a.Interface, Annotations: notes,
	}
	if diff := cmp.Diff([]*controlpb.ContainerNetwork{attachment}, on.Networks, volatile...); diff != "" {
		t.Error(diff)
	}

	// What is asked about, and nothing else.
	for _, c := range []struct {
		ask  *controlpb.GetContainerNetworksRequest
		want string
	}{
		{&controlpb.GetContainerNetworksRequest{NetworkId: "facts"}, "c1.facts c2.facts"},
		{&controlpb.GetContainerNetworksRequest{ContainerId: "c1"}, "c1.facts c1.other"},
		{&controlpb.GetContainerNetworksRequest{ContainerId: "c2", NetworkId: "other"}, ""},
	} {
		res, err := w.GetContainerNetworks(within(t, patience), c.ask)
		var got []string
		for _, n := range res.GetNetworks() {
			got = append(got, n.Name)
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%v: %q, %v, want %q", c.ask, got, err, c.want)
		}
	}
	for _, c := range []struct {
		ask  *controlpb.ListBridgesRequest
		want string
	}{
		{&controlpb.ListBridgesRequest{}, "facts other"},
		{&controlpb.ListBridgesRequest{Name: "Facts"}, "facts"},
		{&controlpb.ListBridgesRequest{Name: "facts"}, ""},
		{&controlpb.ListBridgesRequest{NetworkId: "other", Name: "other"}, "other"},
		{&controlpb.ListBridgesRequest{NetworkId: "other", Name: "Facts"}, ""},
		{&controlpb.ListBridgesRequest{NetworkId: "other", Manager: "m"}, ""},
		{&controlpb.ListBridgesRequest{NetworkId: "none"}, ""},
	} {
		res, err := w.ListBridges(within(t, patience), c.ask)
		var got []string
		for _, b := range res.GetBridges() {
			got = append(got, b.NetworkId)
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%v: %q, %v, want %q", c.ask, got, err, c.want)
		}
	}
}

func TestAnnotations(t *testing.T) {
	w := startWorld(t, atOnce)
	request := func(id string, annotations map[string]string) *controlpb.CreateBridgeRequest {
		return &controlpb.CreateBridgeRequest{NetworkId: id, Subnet: "10.1.0.0/24", Annotations: annotations}
	}
	before := w.count(t)
	for _, wrong := range []map[string]string{
		{"network.arca.dev/made-by": "control"},
		{"Network.Arca.Dev/x": ""},
		{"a b": ""},
		{"": ""},
		{strings.Repeat("a", 64): ""},
		{"a": strings.Repeat("x", 256<<10)},
	} {
		_, err := w.CreateBridge(within(t, patience), request("n", wrong))
		wantFields(t, err, codes.InvalidArgument, "annotations")
		a := tap("c", "n")
		a.Annotations = wrong
		_, err = w.AttachContainer(within(t, patience), a)
		wantFields(t, err, codes.InvalidArgument, "annotations")
		_, err = w.Sync(within(t, patience), &controlpb.SyncRequest{Manager: "m",
			Networks: []*controlpb.CreateBridgeRequest{request("n", wrong)}, Attachments: []*controlpb.AttachContainerRequest{a}})
		wantFields(t, err, codes.InvalidArgument, "networks[0].annotations", "attachments[0].annotations")
	}
	if after := w.count(t); after != before {
		t.Errorf("%d objects, were %d", after, before)
	}

	// Another value is another network; what is not asked for may be anything.
	if _, err := w.CreateBridge(within(t, patience), request("n", map[string]string{"a": "1", "b": "2"})); err != nil {
		t.Fatal(err)
	}
	if _, err := w.CreateBridge(within(t, patience), request("n", map[string]string{"a": "1"})); err != nil {
		t.Error(err)
	}
	_, err := w.CreateBridge(within(t, patience), request("n", map[string]string{"a": "2"}))
	wantFields(t, err, codes.AlreadyExists, "annotations")

	// To Sync the request is the whole truth, but for what this project writes itself.
	one := request("managed", map[string]string{"a": "1"})
	one.Subnet = "10.3.0.0/24"
	sync := func(want string) {
		t.Helper()
		res, err := w.Sync(within(t, patience), &controlpb.SyncRequest{Manager: "m", Networks: []*controlpb.CreateBridgeRequest{one}})
		if err != nil || counts(res.GetNetworks()) != want {
			t.Errorf("%v, %v, want %s", res, err, want)
		}
	}
	sync("+1 ~0 -0 =0 !0")
	have := &v1alpha1.Network{}
	own := []byte(`{"metadata":{"annotations":{"network.arca.dev/own":"kept"}}}`)
	have.Name = "managed"
	if err := w.api.Patch(within(t, patience), have, client.RawPatch("application/merge-patch+json", own)); err != nil {
		t.Fatal(err)
	}
	one.Annotations = map[string]string{"b": "2"}
	sync("+0 ~1 -0 =0 !0")
	if err := w.api.Get(within(t, patience), client.ObjectKey{Name: "managed"}, have); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"b": "2", "network.arca.dev/own": "kept"}, have.Annotations); diff != "" {
		t.Error(diff)
	}
	w.seen(t, have)
	sync("+0 ~0 -0 =1 !0")
}

// seen waits until the server has what the store has: to be asked the same of an
// unchanged object again waits for nothing else.
func (w *world) seen(t *testing.T, o metav1.Object) {
	t.Helper()
	for within := within(t, patience); within.Err() == nil; {
		res, err := w.ListBridges(within, &controlpb.ListBridgesRequest{NetworkId: o.GetName()})
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Bridges) == 1 && res.Bridges[0].Annotations["b"] == "2" {
			return
		}
	}
	t.Fatal("the server does not see what was written")
}
