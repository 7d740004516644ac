// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/pkg/docker"
	"github.com/vas-solutus/arca-network/pkg/docker/engine"
)

// networks tells the proxy of the engine which networks there are.
type networks struct {
	control controlpb.NetworkControlClient
}

// predefined are the ids of the networks that have no object.
var predefined = map[string]string{"host": docker.SpecialID("host"), "none": docker.SpecialID("none")}

// Networks lists all that a container can be on.
func (n networks) Networks(ctx context.Context) ([]engine.Network, error) {
	list, err := n.control.ListBridges(ctx, &controlpb.ListBridgesRequest{})
	if err != nil {
		return nil, err
	}
	return networksOf(list.GetBridges()), nil
}

// Candidates are the networks that a reference may mean. Where one is asked for
// by what it is called, the others are not read.
func (n networks) Candidates(ctx context.Context, ref string) ([]engine.Network, error) {
	if predefined[ref] != "" {
		return networksOf(nil), nil
	}
	one, err := docker.Named(ctx, n.control, ref, false)
	if err != nil {
		return nil, err
	}
	if one == nil {
		return n.Networks(ctx)
	}
	return networksOf([]*controlpb.BridgeInfo{one}), nil
}

// networksOf are those of some that a container can be on, and the predefined.
// A configuration is none.
func networksOf(bridges []*controlpb.BridgeInfo) []engine.Network {
	out := []engine.Network{
		{ID: predefined["host"], Name: "host", Driver: "host"},
		{ID: predefined["none"], Name: "none", Driver: "null"},
	}
	for _, b := range bridges {
		facts := docker.FactsOf(b)
		if b.GetDeleting() || facts.ConfigOnly {
			continue
		}
		one := engine.Network{
			ID: docker.NetworkID(b), Name: facts.Name, Object: b.GetNetworkId(), Driver: facts.Driver,
			EnableIPv4: facts.EnableIPv4, EnableIPv6: facts.EnableIPv6, Internal: b.GetInternal(), MTU: int(b.GetMtu()),
		}
		for _, s := range b.GetSubnets() {
			one.Subnets = append(one.Subnets, engine.Subnet{CIDR: s.GetCidr(), Gateway: s.GetGateway()})
		}
		out = append(out, one)
	}
	return out
}

// Ports are what is published of the endpoints on some networks.
func (n networks) Ports(ctx context.Context, objects []string) (map[string][]engine.Port, error) {
	list, err := n.control.GetContainerNetworks(ctx, &controlpb.GetContainerNetworksRequest{NetworkIds: objects, Published: true})
	if err != nil {
		return nil, err
	}
	out := map[string][]engine.Port{}
	for _, a := range list.GetNetworks() {
		for _, p := range a.GetPorts() {
			out[docker.EndpointID(a)] = append(out[docker.EndpointID(a)], portsOf(p)...)
		}
	}
	return out, nil
}

// Rename changes the name that the network of an endpoint knows.
func (n networks) Rename(ctx context.Context, on engine.Network, endpoint, name string) error {
	list, err := n.control.GetContainerNetworks(ctx, &controlpb.GetContainerNetworksRequest{NetworkId: on.Object})
	if err != nil {
		return err
	}
	for _, a := range list.GetNetworks() {
		if docker.EndpointID(a) == endpoint {
			_, err := n.control.UpdateContainer(ctx, &controlpb.UpdateContainerRequest{ContainerId: a.GetContainerId(), NetworkId: a.GetNetworkId(), Hostname: &name})
			return err
		}
	}
	return nil // it has gone
}

// portsOf are the ports of a range, one by one.
func portsOf(p *controlpb.PublishedPort) []engine.Port {
	protocol := p.GetProtocol()
	if protocol == "" {
		protocol = "tcp"
	}
	var out []engine.Port
	for i := range max(0, p.GetHostPortEnd()-p.GetHostPort()) + 1 {
		out = append(out, engine.Port{
			Protocol: protocol, HostIP: p.GetHostIp(),
			HostPort: int(p.GetHostPort() + i), Container: int(p.GetContainerPort() + i),
		})
	}
	return out
}
