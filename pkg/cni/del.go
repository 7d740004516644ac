// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"context"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// del disconnects a container. It goes by what is there and not by the Network
// of the configuration, which may be gone or have been another; the namespace
// is not looked at, for it may be gone too. Where there is nothing, it is done.
func del(ctx context.Context, c *call) error {
	have, err := c.attachments(ctx)
	if err != nil {
		return err
	}
	for _, n := range find(have, c.config.Name, c.IfName) {
		if err := c.detach(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) detach(ctx context.Context, n *controlpb.ContainerNetwork) error {
	_, err := c.api.DetachContainer(ctx, &controlpb.DetachContainerRequest{ContainerId: n.GetContainerId(), NetworkId: n.GetNetworkId()})
	if err != nil {
		return callError(err, c.config.Target, origins{{"container_id", "CNI_CONTAINERID"}})
	}
	return nil
}
