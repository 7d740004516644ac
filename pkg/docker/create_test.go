// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/moby/moby/api/types/network"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// translate takes a request the whole way, but for what other networks decide.
func translate(t *testing.T, body string) (*controlpb.CreateBridgeRequest, error) {
	t.Helper()
	var c network.CreateRequest
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if err := checkCreate(&c); err != nil {
		return nil, err
	}
	if err := checkKind(c); err != nil {
		return nil, err
	}
	return requestOf("1d", c, factsOfRequest(c, time.Unix(1, 2)))
}

func TestCreateTranslated(t *testing.T) {
	for body, want := range map[string]string{
		`{"Name":"n1"}`: `{"name":"n1","internal":false,"ipFamilies":["IPv4"]}`,
		`{"Name":"n1","EnableIPv6":true,"Internal":true}`:                `{"name":"n1","internal":true,"ipFamilies":["IPv4","IPv6"]}`,
		`{"Name":"n1","EnableIPv4":false,"EnableIPv6":true}`:             `{"name":"n1","internal":false,"ipFamilies":["IPv6"]}`,
		`{"Name":"n1","Options":{"com.docker.network.enable_ipv6":"1"}}`: `{"name":"n1","internal":false,"ipFamilies":["IPv4","IPv6"]}`,
		`{"Name":"no name in dns!"}`:                                     `{"internal":false,"ipFamilies":["IPv4"]}`,
		`{"Name":"n1","Options":{"com.docker.network.bridge.enable_icc":"false","com.docker.network.driver.mtu":"1400","x":"y"}}`:                                                                                 `{"name":"n1","internal":false,"ipFamilies":["IPv4"],"interContainer":false,"mtu":1400}`,
		`{"Name":"n1","Options":{"com.docker.network.bridge.enable_ip_masquerade":"false"}}`:                                                                                                                      `{"name":"n1","internal":false,"ipFamilies":["IPv4"],"egress":{"mode":"Routed"}}`,
		`{"Name":"n1","Options":{"com.docker.network.bridge.gateway_mode_ipv4":"routed"}}`:                                                                                                                        `{"name":"n1","internal":false,"ipFamilies":["IPv4"],"egress":{"mode":"Routed"}}`,
		`{"Name":"n1","Internal":true,"Options":{"com.docker.network.bridge.gateway_mode_ipv4":"isolated"}}`:                                                                                                      `{"name":"n1","internal":true,"ipFamilies":["IPv4"]}`,
		`{"Name":"n1","Driver":"overlay","Attachable":true,"Ingress":true}`:                                                                                                                                       `{"name":"n1","internal":false,"ipFamilies":["IPv4"]}`,
		`{"Name":"n1","ConfigOnly":true,"IPAM":{"Config":[{"Subnet":"10.1.0.0/24"}]}}`:                                                                                                                            `{"internal":true,"ipFamilies":["IPv6"]}`,
		`{"Name":"n1","EnableIPv6":true,"IPAM":{"Config":[{"Subnet":"fd00::/64"},{"Subnet":"10.1.0.0/24","IPRange":"10.1.0.128/25","Gateway":"10.1.0.9","AuxiliaryAddresses":{"b":"10.1.0.5","a":"10.1.0.6"}}]}}`: `{"name":"n1","internal":false,"ipFamilies":["IPv4","IPv6"],"subnets":[{"cidr":"10.1.0.0/24","gateway":"10.1.0.9","ipRange":"10.1.0.128/25","reserved":["10.1.0.6","10.1.0.5"]},{"cidr":"fd00::/64"}]}`,
		`{"Name":"n1","IPAM":{"Config":[{"Subnet":"10.1.0.0/24","IPRange":"10.1.0.128/25"}]}}`:                                                                                                                    `{"name":"n1","internal":false,"ipFamilies":["IPv4"],"subnets":[{"cidr":"10.1.0.0/24","gateway":"10.1.0.128","ipRange":"10.1.0.128/25"}]}`,
		`{"Name":"n1","IPAM":{"Config":[{"Subnet":"10.1.0.0/24","IPRange":"10.1.0.0/25"}]}}`:                                                                                                                      `{"name":"n1","internal":false,"ipFamilies":["IPv4"],"subnets":[{"cidr":"10.1.0.0/24","ipRange":"10.1.0.0/25"}]}`,
		// A subnet of a family that is off is not looked at.
		`{"Name":"n1","IPAM":{"Config":[{"Subnet":"fd00::1/64"}]}}`: `{"name":"n1","internal":false,"ipFamilies":["IPv4"]}`,
	} {
		got, err := translate(t, body)
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		expected := &controlpb.CreateBridgeRequest{}
		if err := protojson.Unmarshal([]byte(want), expected); err != nil {
			t.Fatal(err)
		}
		expected.NetworkId = "1d"
		got = proto.Clone(got).(*controlpb.CreateBridgeRequest)
		got.Annotations = nil
		if diff := cmp.Diff(expected, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s:\n%s", body, diff)
		}
	}
}

func TestCreateRefused(t *testing.T) {
	for body, want := range map[string]struct {
		code    int
		message string
	}{
		`{}`:                                             {400, "invalid name: name is empty"},
		`{"Name":" "}`:                                   {400, "invalid name: name is empty"},
		`{"Name":"bridge"}`:                              {403, "operation is not permitted on predefined bridge network "},
		`{"Name":"default"}`:                             {403, "operation is not permitted on predefined default network "},
		`{"Name":"container:x"}`:                         {403, `network name "container:x" is reserved and cannot be created`},
		`{"Name":"n","Driver":"x"}`:                      {404, `plugin "x" not found`},
		`{"Name":"n","Driver":"macvlan"}`:                {404, `plugin "macvlan" not found`},
		`{"Name":"n","Driver":"host"}`:                   {403, `only one instance of "host" network is allowed`},
		`{"Name":"n","IPAM":{"Driver":"x"}}`:             {404, `plugin "x" not found`},
		`{"Name":"n","Scope":"swarm"}`:                   {403, "cannot create a swarm scoped network when swarm is not active"},
		`{"Name":"n","Ingress":true}`:                    {403, "Ingress network can only be global scope network"},
		`{"Name":"n","ConfigOnly":true,"Internal":true}`: {403, "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported."},
		`{"Name":"n","ConfigOnly":true,"ConfigFrom":{"Network":"c"}}`:                                     {403, "a configuration network cannot depend on another configuration network"},
		`{"Name":"n","ConfigFrom":{"Network":"c"},"Labels":{"a":""}}`:                                     {403, "user-specified configurations are not supported if the network depends on a configuration network"},
		`{"Name":"n","ConfigFrom":{"Network":"c"},"Options":{"a":"b"}}`:                                   {403, "network driver options are not supported if the network depends on a configuration network"},
		`{"Name":"n","EnableIPv4":false}`:                                                                 {400, "IPv4 or IPv6 must be enabled"},
		`{"Name":"n","Options":{"com.docker.network.enable_ipv4":"x"}}`:                                   {400, `driver-opt "com.docker.network.enable_ipv4" is not a valid bool`},
		`{"Name":"n","Options":{"com.docker.network.driver.mtu":"x"}}`:                                    {400, `failed to parse com.docker.network.driver.mtu value: x (strconv.Atoi: parsing "x": invalid syntax)`},
		`{"Name":"n","Options":{"com.docker.network.driver.mtu":"-1"}}`:                                   {400, "invalid MTU number: -1"},
		`{"Name":"n","Options":{"com.docker.network.bridge.enable_icc":"x"}}`:                             {400, `failed to parse com.docker.network.bridge.enable_icc value: x (strconv.ParseBool: parsing "x": invalid syntax)`},
		`{"Name":"n","Options":{"com.docker.network.bridge.host_binding_ipv4":"x"}}`:                      {400, "failed to parse com.docker.network.bridge.host_binding_ipv4 value: x (nil ip)"},
		`{"Name":"n","Options":{"com.docker.network.bridge.gateway_mode_ipv4":"x"}}`:                      {400, "failed to parse com.docker.network.bridge.gateway_mode_ipv4 value: x (unknown gateway mode x)"},
		`{"Name":"n","Options":{"com.docker.network.bridge.gateway_mode_ipv4":"isolated"}}`:               {500, "gateway mode 'isolated' can only be used for an internal network"},
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.89.0.5/24"}]}}`:                                      {400, "invalid network config:\ninvalid subnet 10.89.0.5/24: it should be 10.89.0.0/24"},
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.89.0.0/24","IPRange":"10.90.0.0/25"}]}}`:             {400, "invalid network config:\ninvalid ip-range 10.90.0.0/25: parent subnet 10.89.0.0/24 doesn't contain ip-range"},
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.89.0.0/24","IPRange":"fd00::/64"}]}}`:                {400, "invalid network config:\ninvalid ip-range fd00::/64: parent subnet is an IPv4 block"},
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.89.0.0/24","Gateway":"10.90.0.1"}]}}`:                {400, "invalid network config:\ninvalid gateway 10.90.0.1: parent subnet 10.89.0.0/24 doesn't contain this address"},
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.89.0.0/24","AuxiliaryAddresses":{"a":"fd00::1"}}]}}`: {400, "invalid network config:\ninvalid auxiliary address a: parent subnet is an IPv4 block"},
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.89.0.5/24","IPRange":"10.89.0.0/16"}]}}`:             {400, "invalid network config:\n* invalid subnet 10.89.0.5/24: it should be 10.89.0.0/24\n* invalid ip-range 10.89.0.0/16: CIDR block is bigger than its parent subnet 10.89.0.5/24"},
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.89.0.0/24"},{"Subnet":"10.90.0.0/24"}]}}`:            {403, "bridge driver doesn't support multiple subnets"},
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.89.0.0/24","Gateway":"10.89.0.0"}]}}`:                {500, "failed to allocate gateway (10.89.0.0): Address already in use"},
		`{"Name":"n","IPAM":{"Driver":"null"}}`:                                                           {400, "ipv4 pool is empty"},
		`{"Name":"n","EnableIPv6":true,"IPAM":{"Config":[{"Subnet":"ff00::/64"}]}}`:                       {400, "multicast subnet 'ff00::1/64' is not allowed"},
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.89.0.0/24","AuxiliaryAddresses":{"a":""}}]}}`:        {400, "non parsable secondary ip address (a:invalid IP) passed for network n"},
	} {
		_, err := translate(t, body)
		if err == nil {
			t.Errorf("%s is accepted", body)
			continue
		}
		wantError(t, err, want.code, want.message)
	}
}

// What a network's annotations say is what was said.
func TestFactsKept(t *testing.T) {
	var c network.CreateRequest
	if err := json.Unmarshal([]byte(`{"Name":"A b","Driver":"overlay","Scope":"global","Attachable":true,"Ingress":true,"Options":{"o":"p"},"Labels":{"L /":"any \u00e4"},
		"IPAM":{"Driver":"default","Options":{"x":"y"},"Config":[{"Subnet":"10.1.0.0/24","AuxiliaryAddresses":{"h":"10.1.0.7"}}]}}`), &c); err != nil {
		t.Fatal(err)
	}
	if err := checkCreate(&c); err != nil {
		t.Fatal(err)
	}
	want := factsOfRequest(c, time.Unix(5, 678).UTC())
	b := &controlpb.BridgeInfo{NetworkId: "x", Name: "x", Annotations: want.Annotations(), IpFamilies: []string{"IPv4"}, Labels: map[string]string{"of": "object"}}
	if diff := cmp.Diff(want, FactsOf(b), cmpopts.EquateComparable(network.IPAMConfig{}.Subnet, network.IPAMConfig{}.Gateway)); diff != "" {
		t.Error(diff)
	}
	// Spoilt, or not by Docker: as Docker would call it.
	for _, a := range []map[string]string{nil, {annotationLabels: "{", annotationCreated: "yesterday", annotationIPAM: "[]", annotationOptions: "7"}} {
		f := FactsOf(&controlpb.BridgeInfo{NetworkId: "x", Name: "yaml", Annotations: a, IpFamilies: []string{"IPv6"}})
		if f.Name != "yaml" || f.Driver != "bridge" || f.Scope != "local" || f.EnableIPv4 || !f.EnableIPv6 || f.Options != nil {
			t.Errorf("%v: %+v", a, f)
		}
	}
}

func TestConfigsShown(t *testing.T) {
	b := &controlpb.BridgeInfo{Subnets: []*controlpb.Subnet{{Cidr: "10.1.0.0/24", Gateway: "10.1.0.1", Reserved: []string{"10.1.0.7"}}, {Cidr: "fd00::/64", Gateway: "fd00::1"}}}
	for ipam, want := range map[string]string{
		`{}`: `[{"Subnet":"10.1.0.0/24","Gateway":"10.1.0.1","AuxiliaryAddresses":{"reserved0":"10.1.0.7"}},{"Subnet":"fd00::/64","Gateway":"fd00::1"}]`,
		// First what was asked for, with the names it was given.
		`{"Config":[{"Subnet":"fd00::/64"}]}`: `[{"Subnet":"fd00::/64","Gateway":"fd00::1"},{"Subnet":"10.1.0.0/24","Gateway":"10.1.0.1","AuxiliaryAddresses":{"reserved0":"10.1.0.7"}}]`,
		`{"Config":[{"Subnet":"fd00::/64"},{"Subnet":"10.1.0.0/24","AuxiliaryAddresses":{"h":"10.1.0.7"}}]}`: `[{"Subnet":"10.1.0.0/24","Gateway":"10.1.0.1","AuxiliaryAddresses":{"h":"10.1.0.7"}},{"Subnet":"fd00::/64","Gateway":"fd00::1"}]`,
	} {
		var f Facts
		if err := json.Unmarshal([]byte(ipam), &f.IPAM); err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(f.configs(b))
		if err != nil || string(got) != want {
			t.Errorf("%s:\n%s, %v\nwant %s", ipam, got, err, want)
		}
	}
}
