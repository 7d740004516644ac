// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

var timeZero time.Time

func newMessage() events.Message {
	return events.Message{Type: events.NetworkEventType, Action: events.ActionCreate}
}

func endpointSettings(t *testing.T, s string) *network.EndpointSettings {
	t.Helper()
	e := &network.EndpointSettings{}
	if err := json.Unmarshal([]byte(s), e); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestCheckEndpoint(t *testing.T) {
	n := networkOf(&controlpb.BridgeInfo{NetworkId: "n", Name: "n", Subnets: []*controlpb.Subnet{{Cidr: "10.1.0.0/24"}, {Cidr: "fd00::/64"}}})
	bridge := networkOf(&controlpb.BridgeInfo{NetworkId: "bridge", Name: "bridge", Subnets: []*controlpb.Subnet{{Cidr: "172.17.0.0/16"}}})
	for _, ok := range []string{`{}`, `{"IPAMConfig":{"IPv4Address":"10.1.0.5","IPv6Address":"fd00::5"},"Aliases":["a"],"GwPriority":5}`, `{"IPAMConfig":{"LinkLocalIPs":["169.254.8.8","fe80::8"]}}`} {
		if err := checkEndpoint(n, endpointSettings(t, ok)); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for _, c := range []struct {
		of            *dockerNetwork
		settings, say string
	}{
		{n, `{"IPAMConfig":{"IPv4Address":"10.2.0.5"}}`, "invalid endpoint settings:\nno configured subnet contains IP address 10.2.0.5"},
		{n, `{"IPAMConfig":{"IPv4Address":"fd00::5"}}`, "invalid endpoint settings:\ninvalid IPv4 address: fd00::5"},
		{n, `{"IPAMConfig":{"IPv6Address":"10.1.0.5"}}`, "invalid endpoint settings:\ninvalid IPv6 address: 10.1.0.5"},
		{n, `{"IPAMConfig":{"LinkLocalIPs":["0.0.0.0"]}}`, "invalid endpoint settings:\ninvalid link-local IP address: 0.0.0.0"},
		{n, `{"IPAMConfig":{"LinkLocalIPs":["10.0.0.1"]}}`, "invalid link local IP address: 10.0.0.1"},
		{bridge, `{"IPAMConfig":{"IPv4Address":"172.17.0.9"}}`, "invalid endpoint settings:\nuser-specified IP address is supported on user-defined networks only"},
		{bridge, `{"Aliases":["a"],"IPAMConfig":{"IPv4Address":"172.17.0.9"}}`, "invalid endpoint settings:\n* user-specified IP address is supported on user-defined networks only\n* network-scoped aliases are only supported for user-defined networks"},
		{n, `{"DriverOpts":{"com.docker.network.endpoint.sysctls":"a.b"}}`, "invalid endpoint settings:\nunrecognised network interface sysctl 'a.b'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'"},
	} {
		wantError(t, checkEndpoint(c.of, endpointSettings(t, c.settings)), 400, c.say)
	}
}

func TestAttachmentRequest(t *testing.T) {
	n := networkOf(&controlpb.BridgeInfo{NetworkId: "n", Name: "n", Subnets: []*controlpb.Subnet{{Cidr: "10.1.0.0/24"}}})
	c := Container{ID: strings.Repeat("ab", 32), Name: "web", Hostname: "abababababab", Running: true, Netns: "/run/netns/x"}
	e := endpointSettings(t, `{"IPAMConfig":{"IPv4Address":"10.1.0.5","LinkLocalIPs":["::ffff:169.254.8.8","fe80::8"]},"Aliases":["a","web","a"],"GwPriority":5000,"MacAddress":"02:00:00:00:00:05"}`)
	facts := EndpointFacts{ID: strings.Repeat("cd", 32), IPAMConfig: e.IPAMConfig, Aliases: e.Aliases, GwPriority: 5000}
	got := attachmentRequest(n, c, e, facts, "eth1")
	want := &controlpb.AttachContainerRequest{
		ContainerId: c.ID, NetworkId: "n", Hostname: "web", Mac: "02:00:00:00:00:05", Addresses: []string{"10.1.0.5"}, Aliases: []string{"a", "abababababab"},
		LinkLocalAddresses: []string{"169.254.8.8", "fe80::8"},
		RoutePriority:      proto.Int32(1000), Interface: &controlpb.Interface{Type: "Veth", Netns: "/run/netns/x", Name: "eth1"}, Annotations: facts.Annotations(),
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	same := func(a, b netip.Addr) bool { return a == b }
	if diff := cmp.Diff(facts, EndpointFactsOf(&controlpb.ContainerNetwork{Annotations: got.Annotations}), cmp.Comparer(same)); diff != "" {
		t.Error(diff)
	}
	if got := freeInterface([]string{"eth0", "eth2"}); got != "eth1" {
		t.Errorf("chose %s", got)
	}
}

func TestIPAMStatus(t *testing.T) {
	n := networkOf(&controlpb.BridgeInfo{NetworkId: "n", Name: "n", Subnets: []*controlpb.Subnet{
		{Cidr: "10.1.0.0/24", Gateway: "10.1.0.1", IpRange: "10.1.0.128/25", Reserved: []string{"10.1.0.200"}}, {Cidr: "fd00::/64", Gateway: "fd00::1"}}})
	endpoints := endpointsOf([]*controlpb.ContainerNetwork{{ContainerId: "c", Addresses: []string{"10.1.0.129/24", "fd00::2/64"}, MacAddress: "02:00:00:00:00:01"}, {Deleting: true}})
	got, err := json.Marshal(ipamStatus(n, endpoints))
	// Network, broadcast, gateway, reserved and one endpoint; in the range the last three but the gateway.
	want := `{"IPAM":{"Subnets":{"10.1.0.0/24":{"IPsInUse":5,"DynamicIPsAvailable":125},"fd00::/64":{"IPsInUse":3,"DynamicIPsAvailable":18446744073709551613}}}}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v\nwant %s", got, err, want)
	}
}

// What an engine's driver has only reserved is no endpoint yet.
func TestReservationIsNotShown(t *testing.T) {
	on := endpointsOf([]*controlpb.ContainerNetwork{
		{ContainerId: "mac-1", Annotations: map[string]string{AnnotationMadeBy: "plugin"}},
		{ContainerId: "mac-2", Annotations: map[string]string{AnnotationMadeBy: "plugin", AnnotationEndpointID: "e", AnnotationContainer: "c2"}},
		{ContainerId: "c3"},
	})
	if len(on) != 2 || on["c2"].EndpointID == "" || on["c3"].EndpointID == "" {
		t.Errorf("%v, want c2 and c3", on)
	}
}
