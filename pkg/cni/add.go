// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"context"
	"fmt"

	"github.com/containernetworking/cni/pkg/types"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// add connects a container, and answers when its traffic passes. Asked again,
// it answers the same. What has failed or has not come about in time is not
// taken back here: the call may be the repetition of one that a running container
// lives by. A runtime ends a failed ADD with DEL.
func add(ctx context.Context, c *call) error {
	if c.config.RawPrevResult != nil {
		return invalidConfig("prevResult", "arca-cni makes the interface, so it must be the first plugin of the list")
	}
	if err := c.checkNetns(); err != nil {
		return err
	}
	a, err := c.attachment()
	if err != nil {
		return err
	}
	request, from, err := attachRequest(c.config, a)
	if err != nil {
		return err
	}
	network, err := c.haveNetwork(ctx)
	if err != nil {
		return err
	}
	have, err := c.attachments(ctx)
	if err != nil {
		return err
	}
	request.NetworkId = network.GetNetworkId()
	request.ContainerId = idFor(have, c.config.Name, a.container, a.ifname, request.NetworkId)
	response, err := c.api.AttachContainer(ctx, request)
	if err != nil {
		return callError(err, c.config.Target, from)
	}
	result, err := resultOf(c.config, a, network, response)
	if err != nil {
		return fmt.Errorf("making the result: %w", err)
	}
	return types.PrintResult(result, c.config.CNIVersion)
}

// attachments are those of all ids that the interface can have.
func (c *call) attachments(ctx context.Context) (out []*controlpb.ContainerNetwork, err error) {
	for _, id := range candidates(c.ContainerID, c.IfName) {
		have, err := c.api.GetContainerNetworks(ctx, &controlpb.GetContainerNetworksRequest{ContainerId: id})
		if err != nil {
			return nil, callError(err, c.config.Target, nil)
		}
		out = append(out, have.GetNetworks()...)
	}
	return out, nil
}
