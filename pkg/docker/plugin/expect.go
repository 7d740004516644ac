// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"net"
	"net/netip"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// Expected is an endpoint that an engine is going to ask for: by its MAC address,
// on a Network object.
type Expected struct {
	Network   string
	MTU       int // of the network
	MAC       net.HardwareAddr
	Addresses []netip.Addr // those that are asked for
	LinkLocal []netip.Addr
	Name      string
	Aliases   []string
}

func (e Expected) place() place { return place{containerOf(e.MAC), e.Network} }

// Expect makes the attachment of an endpoint before the engine asks for its
// address, which it does last of all before a container runs. Until the engine has
// made the endpoint it is the reservation of an address like any other.
func (p *Plugin) Expect(ctx context.Context, e Expected) error {
	defer p.locks.lock(e.place())()
	if _, found, err := p.attachment(ctx, e.place()); err != nil || found {
		return err
	}
	r := &controlpb.AttachContainerRequest{Annotations: p.sinceNow(), Hostname: e.Name, Aliases: e.Aliases}
	for _, a := range e.Addresses {
		r.Addresses = append(r.Addresses, a.String())
	}
	for _, a := range e.LinkLocal {
		r.LinkLocalAddresses = append(r.LinkLocalAddresses, a.Unmap().String())
	}
	_, err := p.attach(ctx, network{id: e.Network, mtu: e.MTU}, e.MAC, r)
	return err
}

// Forget removes what Expect made, unless it has become an endpoint.
func (p *Plugin) Forget(ctx context.Context, e Expected) error {
	a, found, err := p.attachment(ctx, e.place())
	if err != nil || !found || a.notes[noteEndpoint] != "" {
		return err
	}
	return p.removeIf(ctx, a)
}
