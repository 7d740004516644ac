// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// endpointSpec is what an engine says of an endpoint.
type endpointSpec struct {
	addresses []netip.Addr
	mac       net.HardwareAddr
	// chosen says that the engine leaves the MAC to the driver.
	chosen    bool
	hostname  string
	aliases   []string
	linkLocal []string
	notes     notes
}

func endpointSpecOf(r createEndpointRequest) (e endpointSpec, err error) {
	if r.NetworkID == "" || r.EndpointID == "" {
		return e, errors.New("NetworkID and EndpointID must be given")
	}
	i := endpointInterface{}
	if r.Interface != nil {
		i = *r.Interface
	}
	for _, s := range []string{i.Address, i.AddressIPv6} {
		if s == "" {
			continue
		}
		a, err := addressOf(s)
		if err != nil {
			return e, fmt.Errorf("address %q: %w", s, err)
		}
		e.addresses = append(e.addresses, a)
	}
	if e.chosen = i.MacAddress == ""; e.chosen {
		e.mac = macFor(r.EndpointID)
	} else if e.mac, err = macOf(i.MacAddress); err != nil {
		return e, err
	}
	e.notes = notes{noteEndpoint: r.EndpointID, noteNetwork: r.NetworkID}
	if i.AddressIPv6 != "" {
		e.notes[noteIPv6] = "true"
	}
	for option, note := range map[string]string{optionEndpointName: noteName, OptionContainer: noteContainer, optionInterface: noteInterface, OptionResolver: noteResolver} {
		var s string
		if err := read(r.Options, option, &s); err != nil {
			return e, err
		}
		if s != "" {
			e.notes[note] = s
		}
	}
	var aliases, names, linkLocal string
	if err := errors.Join(read(r.Options, OptionLinkLocal, &linkLocal), read(r.Options, OptionHostname, &e.hostname), read(r.Options, OptionAliases, &aliases), read(r.Options, OptionNames, &names)); err != nil {
		return e, err
	}
	if linkLocal != "" {
		for s := range strings.SplitSeq(linkLocal, ",") {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return e, fmt.Errorf("option %s: %q: it must be IP addresses with commas between them", OptionLinkLocal, s)
			}
			e.linkLocal = append(e.linkLocal, a.Unmap().String())
		}
	}
	e.alias(aliases, func(string) bool { return true })
	e.alias(names, func(s string) bool { return len(e.aliases) < maxAliases && canBeName(s) })
	return e, nil
}

// maxAliases is how many aliases an attachment can have.
const maxAliases = 32

// alias adds aliases that have commas between them. An engine does not mind one
// that is given twice.
func (e *endpointSpec) alias(list string, ok func(string) bool) {
	for alias := range strings.SplitSeq(list, ",") {
		if alias != "" && ok(alias) && !slices.Contains(e.aliases, alias) {
			e.aliases = append(e.aliases, alias)
		}
	}
}

// canBeName tells what can be a name in DNS.
func canBeName(s string) bool {
	return len(s) <= validation.DNS1123LabelMaxLength && len(validation.IsDNS1123Subdomain(strings.ToLower(s))) == 0
}

// macFor is the MAC of an endpoint whose engine names none: the same whenever it
// is asked again.
func macFor(endpoint string) net.HardwareAddr {
	sum := sha256.Sum256([]byte("mac/" + endpoint))
	return net.HardwareAddr{2, sum[0], sum[1], sum[2], sum[3], sum[4]}
}

// createEndpoint writes an endpoint into the reservation of its address, or makes
// an attachment where another IPAM driver chose that.
func (p *Plugin) createEndpoint(ctx context.Context, r createEndpointRequest) (createEndpointResponse, error) {
	e, err := endpointSpecOf(r)
	if err != nil {
		return createEndpointResponse{}, err
	}
	if id := p.sweeper.knownEngine(); id != "" {
		e.notes[noteEngine] = id
	}
	if of, known := p.stands.get(r.NetworkID); known {
		if done, err := p.createReserved(ctx, place{containerOf(e.mac), of}, r.EndpointID, e); done || err != nil {
			return createEndpointResponse{}, err
		}
	}
	n, err := p.networkOf(ctx, r.NetworkID, e.addresses)
	if err != nil {
		return createEndpointResponse{}, err
	}
	at := place{containerOf(e.mac), n.id}
	defer p.locks.lock(at)()
	a, found, err := p.attachment(ctx, at)
	if err != nil {
		return createEndpointResponse{}, err
	}
	if found {
		err = p.adopt(ctx, &a, r.EndpointID, e)
	} else {
		a, err = p.attachEndpoint(ctx, n, e)
	}
	if err != nil {
		return createEndpointResponse{}, err
	}
	p.known.put(r.EndpointID, at)
	return endpointAnswer(a, e), nil
}

// createReserved writes an endpoint into the reservation of just its addresses,
// where there is one: then nothing has to be known of the network.
func (p *Plugin) createReserved(ctx context.Context, at place, endpoint string, e endpointSpec) (done bool, err error) {
	if e.chosen || len(e.addresses) == 0 {
		return false, nil
	}
	defer p.locks.lock(at)()
	a, found, err := p.attachment(ctx, at)
	if err != nil || !found {
		return false, err
	}
	for _, address := range e.addresses {
		if !slices.Contains(a.addresses(), address) {
			return false, nil
		}
	}
	if err := p.adopt(ctx, &a, endpoint, e); err != nil {
		return false, err
	}
	p.known.put(endpoint, at)
	return true, nil
}

// networkOf is the Network of one of the engine's: the one of its id, or the one
// that it stands for, which is known by the address.
func (p *Plugin) networkOf(ctx context.Context, id string, addresses []netip.Addr) (network, error) {
	if of, known := p.stands.get(id); known {
		if n, ok, err := p.network(ctx, of); err == nil && ok {
			if _, outside := n.outside(addresses); !outside {
				return n, nil
			}
		}
	}
	n, ok, err := p.network(ctx, id)
	if err == nil && !ok && len(addresses) > 0 {
		var all []network
		all, err = p.networks(ctx)
		if n, ok = byAddress(all, addresses[0]); ok {
			p.stands.put(id, n.id)
		}
	}
	if err != nil {
		return network{}, err
	}
	if !ok {
		return network{}, fmt.Errorf("network %s not found", id)
	}
	if a, outside := n.outside(addresses); outside {
		return network{}, fmt.Errorf("address %s is not in the subnets of network %s", a, n.id)
	}
	return n, nil
}

// adopt makes a reservation an endpoint. It may be one already: then the call is
// a repetition.
func (p *Plugin) adopt(ctx context.Context, a *attachment, endpoint string, e endpointSpec) error {
	if of := a.notes[noteEndpoint]; of != "" && of != endpoint {
		return fmt.Errorf("MAC address %s is that of endpoint %s on this network", e.mac, of)
	}
	r := &controlpb.UpdateContainerRequest{
		ContainerId: a.GetContainerId(), NetworkId: a.GetNetworkId(),
		Annotations: p.sinceNow().with(e.notes),
	}
	if !slices.Equal(e.addresses, a.addresses()) {
		for _, want := range e.addresses {
			if !slices.Contains(a.addresses(), want) {
				if err := p.readdress(ctx, a, e.addresses...); err != nil {
					return err
				}
				break
			}
		}
	}
	if e.hostname != "" {
		r.Hostname = &e.hostname
	}
	if e.aliases != nil {
		r.Aliases = &controlpb.Aliases{Aliases: e.aliases}
	}
	if e.linkLocal != nil {
		r.LinkLocalAddresses = &controlpb.LinkLocalAddresses{Addresses: e.linkLocal}
	}
	p.removals.await(ctx, a.GetNetworkId())
	if _, err := p.control.UpdateContainer(ctx, r); err != nil {
		return refusal(err)
	}
	return nil
}

func (p *Plugin) attachEndpoint(ctx context.Context, n network, e endpointSpec) (attachment, error) {
	r := &controlpb.AttachContainerRequest{Annotations: p.sinceNow().with(e.notes), Hostname: e.hostname, Aliases: e.aliases, LinkLocalAddresses: e.linkLocal}
	for _, a := range e.addresses {
		r.Addresses = append(r.Addresses, a.String())
	}
	return p.attach(ctx, n, e.mac, r)
}

// endpointAnswer tells what the engine did not say: it takes anything else for a
// mistake.
func endpointAnswer(a attachment, e endpointSpec) createEndpointResponse {
	i := endpointInterface{}
	if e.chosen {
		i.MacAddress = a.GetMacAddress()
	}
	if len(e.addresses) == 0 { // the IPAM driver null
		for _, s := range a.GetAddresses() {
			if strings.Contains(s, ":") {
				i.AddressIPv6 = s
			} else {
				i.Address = s
			}
		}
	}
	if i == (endpointInterface{}) {
		return createEndpointResponse{}
	}
	return createEndpointResponse{Interface: &i}
}

func (p *Plugin) deleteEndpoint(ctx context.Context, r endpointRequest) (empty, error) {
	if at, known := p.known.get(r.EndpointID); known {
		if done, err := p.deleteKnown(ctx, at, r.EndpointID); done || err != nil {
			return empty{}, err
		}
	}
	a, found, err := p.endpoint(ctx, r.NetworkID, r.EndpointID)
	if err != nil || !found {
		return empty{}, err
	}
	return empty{}, p.removeIf(ctx, a)
}

// deleteKnown removes an endpoint that is where it was seen last.
func (p *Plugin) deleteKnown(ctx context.Context, at place, endpoint string) (done bool, err error) {
	defer p.locks.lock(at)()
	a, found, err := p.attachment(ctx, at)
	if err != nil || !found || a.notes[noteEndpoint] != endpoint {
		return false, err
	}
	if err := p.removeEndpoint(ctx, a); err != nil {
		return false, err
	}
	p.released.put(at.network, a.addresses())
	return true, nil
}

// removeEndpointsOn removes all that this driver has made on a network.
func (p *Plugin) removeEndpointsOn(ctx context.Context, network string) error {
	list, err := p.attachmentsOf(ctx, &controlpb.GetContainerNetworksRequest{NetworkId: network})
	for _, a := range list {
		err = errors.Join(err, p.removeIf(ctx, a))
	}
	return err
}

// join hands over the interface. The engine moves it into the sandbox, where it
// sets its addresses and routes: when the sandbox is not there yet, nobody else
// could.
func (p *Plugin) join(ctx context.Context, r joinRequest) (joinResponse, error) {
	a, found, err := p.endpoint(ctx, r.NetworkID, r.EndpointID)
	if err != nil {
		return joinResponse{}, err
	}
	if !found {
		return joinResponse{}, fmt.Errorf("endpoint %s not found", r.EndpointID)
	}
	n, err := p.networkOf(ctx, a.GetNetworkId(), nil)
	if err != nil {
		return joinResponse{}, err
	}
	return joinAnswer(a, n.internal), nil
}

func joinAnswer(a attachment, internal bool) joinResponse {
	out := joinResponse{InterfaceName: interfaceName{
		SrcName: innerOf(a.GetInterface().GetName()), DstName: a.notes[noteInterface], DstPrefix: "eth",
	}}
	if internal {
		// Or the engine would give it another way out.
		out.DisableGatewayService = true
		return out
	}
	for _, g := range a.GetGateways() {
		switch v6 := strings.Contains(g, ":"); {
		case !v6:
			out.Gateway = g
		case a.notes[noteIPv6] != "":
			out.GatewayIPv6 = g
		}
	}
	return out
}

// leave: the interface goes with its endpoint, which the engine deletes next.
func (p *Plugin) leave(context.Context, endpointRequest) (empty, error) { return empty{}, nil }
