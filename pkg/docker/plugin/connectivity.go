// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// When a container's way out moves from one endpoint to another, the engine revokes
// the first and programs the second; where that fails, it programs the first again.
// The second may have been programmed nevertheless: this driver was killed before it
// answered, and the call, which is repeated without its body, is refused. So who is
// programmed after a call that broke off takes the published ports from the
// container's other endpoints.

// takesOver is how long after a call that broke off that is looked for. The engine
// repeats calls for 30 seconds.
const takesOver = time.Minute

// noteBrokenOff notes that a call has just broken off.
func (p *Plugin) noteBrokenOff() {
	now := p.now()
	p.brokeOff.Store(&now)
}

func (p *Plugin) brokeOffLately() bool {
	when := p.brokeOff.Load()
	return when != nil && p.now().Sub(*when) < takesOver
}

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
	if p.brokeOffLately() {
		if err := p.takeOver(ctx, a); err != nil {
			return empty{}, err
		}
	}
	if err := p.publish(ctx, n, a, r.Options); err != nil {
		return empty{}, err
	}
	if n.names {
		p.askGateway(ctx, a)
	}
	return empty{}, nil
}

// takeOver takes back what a container's other endpoints publish.
func (p *Plugin) takeOver(ctx context.Context, by attachment) error {
	list, err := p.all(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range list {
		if a.place() == by.place() || len(a.GetPorts()) == 0 || !sameContainer(a, by) {
			continue
		}
		p.log.Info("Taking published ports from another endpoint of the container, whose call broke off", "attachment", a.GetName(), "ports", len(a.GetPorts()))
		errs = append(errs, p.disconnect(ctx, a))
	}
	return errors.Join(errs...)
}

// sameContainer tells whether two endpoints are one container's. An engine that
// does not tell of containers has names for endpoints, which are theirs.
func sameContainer(a, b attachment) bool {
	if x, y := a.notes[noteContainer], b.notes[noteContainer]; x != "" || y != "" {
		return x == y
	}
	name := a.notes[noteName]
	return name != "" && name == b.notes[noteName] && a.notes[noteEngine] == b.notes[noteEngine]
}

// disconnected: it is so by another endpoint now, or by none.
func (p *Plugin) disconnected(ctx context.Context, r endpointRequest) (empty, error) {
	a, found, err := p.endpoint(ctx, r.NetworkID, r.EndpointID)
	if err != nil || !found {
		return empty{}, err
	}
	return empty{}, p.disconnect(ctx, a)
}

func (p *Plugin) disconnect(ctx context.Context, a attachment) error {
	p.askEngine(ctx, a)
	return p.unpublish(ctx, a)
}
