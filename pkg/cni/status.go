// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"context"
	"errors"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// statusTimeout is how long arca-network has to answer, which knows at once.
const statusTimeout = 5 * time.Second

// ready tells whether ADD would succeed.
func ready(ctx context.Context, c *call) error {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	health, err := c.api.GetHealth(ctx, &controlpb.GetHealthRequest{})
	if err != nil {
		return types.NewError(types.ErrPluginNotAvailable, "target: arca-network does not answer at "+c.config.Target, message(callError(err, c.config.Target, nil)))
	}
	if err := judge(health); err != nil {
		return err
	}
	n, err := c.network(ctx)
	switch {
	case err != nil:
	case n == nil && !c.config.creates():
		err = missingNetwork(c.config)
	case n != nil:
		err = sameSubnets(c.config, n)
	}
	if err != nil {
		return types.NewError(types.ErrPluginNotAvailable, message(err), "")
	}
	return nil
}

// judge tells what health means to CNI. A part that a change does not pass, as
// the way to the world, does not stand against ADD.
func judge(h *controlpb.GetHealthResponse) error {
	if h.GetReady() && h.GetState() != controlpb.HealthState_HEALTH_STATE_UNHEALTHY {
		return nil
	}
	return types.NewError(types.ErrLimitedConnectivity, "arca-network is not healthy: "+h.GetMessage(), "")
}

// message is an error's without CNI's details.
func message(err error) string {
	var e *types.Error
	if errors.As(err, &e) {
		return e.Msg
	}
	return err.Error()
}
