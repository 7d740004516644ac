// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
)

// connected: the container is reached, and reaches the world, by this endpoint.
func (p *Plugin) connected(ctx context.Context, r externalConnectivityRequest) (empty, error) {
	a, found, err := p.endpoint(ctx, r.NetworkID, r.EndpointID)
	if err != nil {
		return empty{}, err
	}
	if !found {
		return empty{}, fmt.Errorf("endpoint %s not found", r.EndpointID)
	}
	n, err := p.networkOf(ctx, a.GetNetworkId(), nil)
	if err != nil {
		return empty{}, err
	}
	if err := p.publish(ctx, n, a, r.Options); err != nil {
		return empty{}, err
	}
	if n.names {
		p.askGateway(ctx, a)
	}
	return empty{}, nil
}

// disconnected: it is so by another endpoint now, or by none.
func (p *Plugin) disconnected(ctx context.Context, r endpointRequest) (empty, error) {
	a, found, err := p.endpoint(ctx, r.NetworkID, r.EndpointID)
	if err != nil || !found {
		return empty{}, err
	}
	p.askEngine(ctx, a)
	return empty{}, p.unpublish(ctx, a)
}
