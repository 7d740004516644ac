// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
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
	way, err := p.wayOf(ctx, a, r.Options)
	if err != nil {
		return empty{}, err
	}
	if err := p.publish(ctx, n, a, way, r.Options); err != nil {
		return empty{}, err
	}
	if n.names {
		p.askGateway(ctx, a)
	}
	return empty{}, nil
}

// wayOf is of which families an endpoint is told now that it is its container's way,
// and takes back what others publish of those, where a call broke off.
func (p *Plugin) wayOf(ctx context.Context, a attachment, options map[string]any) (families, error) {
	var apart bool
	if err := read(options, optionApart, &apart); err != nil {
		return families{}, err
	}
	brokeOff := p.brokeOffLately()
	offered := joinAnswer(a, false)
	offers := families{offered.Gateway != "", offered.GatewayIPv6 != ""}
	var others []attachment
	// Else it is known without them.
	if brokeOff || offers.ipv4 && offers.ipv6 && asksForPorts(options) {
		list, err := p.all(ctx)
		if err != nil {
			return families{}, err
		}
		for _, o := range list {
			if o.place() != a.place() && o.way() != (families{}) && sameContainer(o, a) {
				others = append(others, o)
			}
		}
	}
	way := wayTold(offers, a.way(), others, apart, brokeOff)
	if way.ipv6 && !offers.ipv6 && a.families().ipv6 {
		way.ipv6 = false // the engine does not give it the address
		p.tellUnpublished(a, options)
	}
	if !brokeOff {
		return way, nil
	}
	return way, p.takeOver(ctx, way, others)
}

// tellUnpublished tells of ports at the host's IPv6 addresses, of a container from
// which its engine keeps IPv6 on a network that has it. An engine's own driver would
// relay them to its IPv4 address.
func (p *Plugin) tellUnpublished(a attachment, options map[string]any) {
	bindings, err := bindingsOf(options, "", "")
	if err != nil {
		return // publish refuses it
	}
	for _, b := range bindings {
		if at, err := netip.ParseAddr(b.port.GetHostIp()); err == nil && at.Is6() {
			p.log.Info("A port is not published, for its container has no IPv6; name an IPv4 address of the host, or none",
				"attachment", a.GetName(), "port", portOf(b.port), "hostIP", b.port.GetHostIp())
		}
	}
}

// wayTold is of which families an endpoint is its container's way. An engine of
// version 28 or later has one endpoint for IPv4 and maybe another one for IPv6. That
// these are two it tells the one for IPv4, and in its first releases both, and no
// more. So the one for IPv6 is known by what was told before: an endpoint is told
// again only when something changes for it, and one that loses a family is told
// before the one that gets it.
func wayTold(offers, had families, others []attachment, apart, brokeOff bool) families {
	other4 := slices.ContainsFunc(others, func(o attachment) bool { return o.way() == families{ipv4: true} })
	switch both := (families{true, true}); {
	case offers == families{ipv6: true}:
		return offers // an engine publishes nothing at an IPv4 address then, and does not mind
	case offers != both && !apart:
		return both // what it has no address for is refused: an engine would relay it
	case apart && offers == both && had == families{} && other4 && !brokeOff:
		return families{ipv6: true}
	case apart:
		return families{ipv4: true}
	case had == both, had == families{} && other4:
		return families{ipv6: true}
	default:
		return both
	}
}

// takeOver takes back what a container's other endpoints publish of some families.
func (p *Plugin) takeOver(ctx context.Context, way families, others []attachment) error {
	var errs []error
	for _, o := range others {
		if other := o.way(); way.ipv4 && other.ipv4 || way.ipv6 && other.ipv6 {
			p.log.Info("Taking published ports from another endpoint of the container, whose call broke off", "attachment", o.GetName(), "ports", len(o.GetPorts()))
			errs = append(errs, p.disconnect(ctx, o))
		}
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
