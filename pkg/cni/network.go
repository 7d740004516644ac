// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// network finds the Network of the configuration, by its id or else by its
// name; nil where there is none.
func (c *call) network(ctx context.Context) (*controlpb.BridgeInfo, error) {
	name := c.config.Network
	var asked []*controlpb.ListBridgesRequest
	if len(validation.IsDNS1123Subdomain(name)) == 0 { // else it cannot be an id
		asked = append(asked, &controlpb.ListBridgesRequest{NetworkId: name})
	}
	asked = append(asked, &controlpb.ListBridgesRequest{Name: name})
	for _, r := range asked {
		found, err := c.api.ListBridges(ctx, r)
		if err != nil {
			return nil, callError(err, c.config.Target, nil)
		}
		if len(found.GetBridges()) > 0 {
			return found.GetBridges()[0], nil
		}
	}
	return nil, nil
}

// haveNetwork finds the Network of the configuration, or makes it where the
// configuration says so. One that is there must have the subnets.
func (c *call) haveNetwork(ctx context.Context) (*controlpb.BridgeInfo, error) {
	n, err := c.network(ctx)
	if err != nil {
		return nil, err
	}
	if n != nil {
		return n, sameSubnets(c.config, n)
	}
	if !c.config.creates() {
		return nil, missingNetwork(c.config)
	}
	r, from := createRequest(c.config)
	// It may be there by now, made for another container: then this is no more
	// than a question.
	if _, err := c.api.CreateBridge(ctx, r); err != nil {
		return nil, callError(err, c.config.Target, from)
	}
	if n, err = c.network(ctx); err == nil && n == nil {
		err = missingNetwork(c.config)
	}
	return n, err
}

func missingNetwork(c *config) error {
	return invalidConfig("network", fmt.Sprintf("%q: there is no Network of that name or id; make it, or say create: true or subnet", c.Network))
}

// createRequest is the network that a configuration asks for. It is nobody's
// afterwards: CNI has no command that ends a network.
func createRequest(c *config) (*controlpb.CreateBridgeRequest, origins) {
	var from origins
	r := &controlpb.CreateBridgeRequest{
		NetworkId:   c.Network,
		Annotations: map[string]string{factPrefix + "config": c.Name},
	}
	for i, s := range c.wantedSubnets() {
		r.Subnets = append(r.Subnets, &controlpb.Subnet{Cidr: s.Subnet, Gateway: s.Gateway})
		for request, key := range map[string]string{"cidr": "subnet", "gateway": "gateway"} {
			from.add(fmt.Sprintf("subnets[%d].%s", i, request), c.subnetField(i, key))
		}
		from.add(fmt.Sprintf("subnets[%d]", i), c.subnetField(i, "subnet"))
	}
	from.add("network_id", "network")
	from.add("name", "network")
	return r, from
}

// sameSubnets refuses a network that has not the subnets which the
// configuration names: an address of another is not what its author expects.
func sameSubnets(c *config, n *controlpb.BridgeInfo) error {
	for i, w := range c.wantedSubnets() {
		var has []string
		var same *controlpb.Subnet
		for _, s := range n.GetSubnets() {
			has = append(has, s.GetCidr())
			if s.GetCidr() == w.Subnet {
				same = s
			}
		}
		if same == nil {
			return invalidConfig(c.subnetField(i, "subnet"), fmt.Sprintf("%s: network %s exists, with %s", w.Subnet, n.GetName(), strings.Join(has, " and ")))
		}
		if w.Gateway != "" && same.GetGateway() != w.Gateway {
			return invalidConfig(c.subnetField(i, "gateway"), fmt.Sprintf("%s: network %s exists, with %s", w.Gateway, n.GetName(), same.GetGateway()))
		}
	}
	return nil
}
