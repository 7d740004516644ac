// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/pkg/docker"
)

func connectedContainers(t *testing.T, w *world) {
	w.create(t, "cx", client.NetworkCreateOptions{IPAM: ipam("10.49.0.0/24", "fd00:49::/64"), EnableIPv6: new(true)})
	w.create(t, "cy", client.NetworkCreateOptions{IPAM: ipam("10.50.0.0/24")})
	a, b := w.container(t, "ca1"), w.container(t, "cb1")
	connect := func(network string, o client.NetworkConnectOptions) {
		t.Helper()
		if _, err := w.NetworkConnect(within(t, patience), network, o); err != nil {
			t.Fatal(err)
		}
	}
	connect("cx", client.NetworkConnectOptions{Container: "ca1", EndpointConfig: &network.EndpointSettings{
		IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr("10.49.0.9"), IPv6Address: netip.MustParseAddr("fd00:49::9")},
		MacAddress: network.HardwareAddr{2, 0, 0, 0, 0, 9}, Aliases: []string{"alias"}}})
	connect("cx", client.NetworkConnectOptions{Container: b.ID})
	connect("cy", client.NetworkConnectOptions{Container: a.ID[:10]})
	on := w.inspect(t, "cx").Containers
	e := on[a.ID]
	if len(on) != 2 || e.Name != "ca1" || e.IPv4Address.String() != "10.49.0.9/24" || e.IPv6Address.String() != "fd00:49::9/64" || e.MacAddress.String() != "02:00:00:00:00:09" ||
		len(e.EndpointID) != 64 || !on[b.ID].IPv4Address.IsValid() || len(on[b.ID].MacAddress) != 6 {
		t.Errorf("%+v", on)
	}
	// It is there, in the container: on the second network by another interface.
	list, err := w.control.GetContainerNetworks(within(t, patience), &controlpb.GetContainerNetworksRequest{ContainerId: a.ID})
	if err != nil || len(list.Networks) != 2 || list.Networks[0].Interface.Name == list.Networks[1].Interface.Name {
		t.Errorf("%v, %v", list, err)
	}
	for _, path := range []string{"eth0", "eth1"} {
		if !hasInterface(t, "ca1", path) {
			t.Errorf("ca1 has no %s", path)
		}
	}
	w.refused(t, "POST", "/networks/cx/connect", `{"Container":"ca1"}`, 403, "endpoint with name ca1 already exists in network cx")
	c := w.container(t, "cc1")
	w.refused(t, "POST", "/networks/cx/connect", `{"Container":"cc1","EndpointConfig":{"IPAMConfig":{"IPv4Address":"10.49.0.9"}}}`, 403, "Address already in use")
	w.refused(t, "POST", "/networks/cx/connect", `{"Container":"cc1","EndpointConfig":{"IPAMConfig":{"IPv4Address":"10.49.0.1"}}}`, 403, "Address already in use")
	w.refused(t, "POST", "/networks/host/connect", `{"Container":"cc1"}`, 400, "cannot connect container to host network - container must be created in host network mode")
	w.refused(t, "POST", "/networks/cx/disconnect", `{"Container":"cc1"}`, 500, "container "+c.ID+" is not connected to network cx")
	w.refused(t, "POST", "/networks/nope/connect", `{"Container":"cc1"}`, 404, "network nope not found")
	one := fmt.Sprintf("name:%q id:%q", "ca1", e.EndpointID[:12])
	two := fmt.Sprintf("name:%q id:%q", "cb1", on[b.ID].EndpointID[:12])
	res := w.send(t, "DELETE", "/networks/cx", "", "")
	var said struct{ Message string }
	if err := json.Unmarshal([]byte(res.body), &said); err != nil || res.status != 403 ||
		said.Message != "error while removing network: network cx has active endpoints ("+one+", "+two+")" && said.Message != "error while removing network: network cx has active endpoints ("+two+", "+one+")" {
		t.Errorf("%d %s", res.status, res.body)
	}
	if got := fmt.Sprint(w.list(t, client.Filters{}.Add("dangling", "false"))); got != "[bridge cx cy host none]" {
		t.Errorf("in use: %s", got)
	}
	for _, d := range []client.NetworkDisconnectOptions{{Container: "ca1"}, {Container: "cb1", Force: true}} {
		if _, err := w.NetworkDisconnect(within(t, patience), "cx", d); err != nil {
			t.Error(err)
		}
	}
	// What is on the host's network the engine knows.
	w.engine["ch1"] = docker.Container{ID: "ch1", Name: "ch1", NetworkMode: "host"}
	if on := w.inspect(t, "host").Containers; len(on) != 1 || on["ch1"].Name != "ch1" {
		t.Errorf("on host: %+v", on)
	}
	// The engine does not know the container any more: by its name, by force.
	delete(w.engine, a.ID)
	w.refused(t, "POST", "/networks/cy/disconnect", `{"Container":"ca1"}`, 404, "No such container: ca1")
	if _, err := w.NetworkDisconnect(within(t, patience), "cy", client.NetworkDisconnectOptions{Container: "ca1", Force: true}); err != nil {
		t.Error(err)
	}
	if hasInterface(t, "ca1", "eth0") || hasInterface(t, "ca1", "eth1") {
		t.Error("interfaces of ca1 are left")
	}
}
