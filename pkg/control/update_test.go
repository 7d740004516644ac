// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// What is changed of an attachment is in force when the call returns; what is
// refused stays as it was, and what is not mentioned too.
func TestUpdateContainer(t *testing.T) {
	w := newWorld(t)
	w.network(t, "n", "10.1.0.0/24")
	first := tap("c1", "n")
	first.Hostname, first.Annotations = "web", map[string]string{"a.example/keep": "1", "a.example/drop": "1"}
	w.attach(t, first)
	w.attach(t, tap("c2", "n"))
	get := func(id string) *controlpb.ContainerNetwork {
		t.Helper()
		list, err := w.GetContainerNetworks(within(t, patience), &controlpb.GetContainerNetworksRequest{ContainerId: id, NetworkId: "n"})
		if err != nil || len(list.GetNetworks()) != 1 {
			t.Fatalf("%v, %v", list, err)
		}
		return list.GetNetworks()[0]
	}
	update := func(r *controlpb.UpdateContainerRequest) error {
		r.NetworkId = "n"
		_, err := w.UpdateContainer(within(t, patience), r)
		return err
	}
	ports := func(port int32) *controlpb.PublishedPorts {
		return &controlpb.PublishedPorts{Ports: []*controlpb.PublishedPort{{HostPort: port, ContainerPort: 80}}}
	}
	linkLocal := func(s ...string) *controlpb.LinkLocalAddresses { return &controlpb.LinkLocalAddresses{Addresses: s} }
	for range 2 { // the second time there is nothing to change
		if err := update(&controlpb.UpdateContainerRequest{
			ContainerId: "c1", Addresses: []string{"10.1.0.77"}, Ports: ports(8080), LinkLocalAddresses: linkLocal("169.254.8.8"),
			Annotations: map[string]string{"a.example/drop": "", "a.example/new": "2"},
		}); err != nil {
			t.Fatal(err)
		}
	}
	a := get("c1")
	if a.GetIpAddress() != "10.1.0.77" || len(a.GetPorts()) != 1 || a.GetPorts()[0].GetHostPort() != 8080 || a.GetHostname() != "web" {
		t.Errorf("changed to %v; want address 10.1.0.77, port 8080 and the name as before", a)
	}
	if got := a.GetLinkLocalAddresses(); !slices.Equal(got, []string{"169.254.8.8"}) {
		t.Errorf("link-local addresses are %v", got)
	}
	if n := a.GetAnnotations(); len(n) != 2 || n["a.example/keep"] != "1" || n["a.example/new"] != "2" {
		t.Errorf("annotations are %v", n)
	}

	before := get("c2")
	for _, c := range []struct {
		change *controlpb.UpdateContainerRequest
		code   codes.Code
	}{
		{&controlpb.UpdateContainerRequest{ContainerId: "c2", Ports: ports(8080), Annotations: map[string]string{"a.example/x": "1"}}, codes.FailedPrecondition},
		{&controlpb.UpdateContainerRequest{ContainerId: "c2", Addresses: []string{"10.1.0.77"}}, codes.FailedPrecondition},
		{&controlpb.UpdateContainerRequest{ContainerId: "c2", LinkLocalAddresses: linkLocal("169.254.8.8")}, codes.FailedPrecondition},
		{&controlpb.UpdateContainerRequest{ContainerId: "c2", Hostname: proto.String("web")}, codes.FailedPrecondition},
		{&controlpb.UpdateContainerRequest{ContainerId: "c2", Addresses: []string{"10.9.0.1"}}, codes.InvalidArgument},
		{&controlpb.UpdateContainerRequest{ContainerId: "c3"}, codes.NotFound},
	} {
		wantCode(t, update(c.change), c.code)
		if now := get("c2"); !proto.Equal(&controlpb.ContainerNetwork{Ports: now.GetPorts(), Hostname: now.GetHostname(), Annotations: now.GetAnnotations(), Addresses: now.GetAddresses(), StaticAddresses: now.GetStaticAddresses()},
			&controlpb.ContainerNetwork{Ports: before.GetPorts(), Hostname: before.GetHostname(), Annotations: before.GetAnnotations(), Addresses: before.GetAddresses(), StaticAddresses: before.GetStaticAddresses()}) {
			t.Errorf("after %v was refused c2 is %v, want %v", c.change, now, before)
		}
	}
	wantFields(t, update(&controlpb.UpdateContainerRequest{ContainerId: "c2", Ports: ports(70000)}), codes.InvalidArgument, "ports[0].host_port")
	wantFields(t, update(&controlpb.UpdateContainerRequest{ContainerId: "c2", LinkLocalAddresses: linkLocal("10.1.0.9")}), codes.InvalidArgument, "link_local_addresses")
	wantFields(t, update(&controlpb.UpdateContainerRequest{ContainerId: "c2", Annotations: map[string]string{"network.arca.dev/x": "1"}}), codes.InvalidArgument, "annotations")

	if err := update(&controlpb.UpdateContainerRequest{ContainerId: "c1", Ports: &controlpb.PublishedPorts{}, LinkLocalAddresses: linkLocal()}); err != nil {
		t.Fatal(err)
	}
	if err := update(&controlpb.UpdateContainerRequest{ContainerId: "c2", LinkLocalAddresses: linkLocal("169.254.8.8")}); err != nil {
		t.Errorf("a link-local address that was given back: %v", err)
	}
	if err := update(&controlpb.UpdateContainerRequest{ContainerId: "c2", Ports: ports(8080)}); err != nil {
		t.Errorf("a port that was given back: %v", err)
	}
}
