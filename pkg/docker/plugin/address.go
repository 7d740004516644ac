// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/pkg/docker"
)

// Names of interfaces: what follows is the same for both ends of a pair. It is
// random, for ovs-vswitchd remembers the flags of a device by its name and may
// put them on the next one that has it.
const (
	outerPrefix = "arcao"
	innerPrefix = "arcai"
)

func newLink(at place, mac net.HardwareAddr, mtu int) Link {
	var raw [5]byte
	_, _ = rand.Read(raw[:]) // never fails
	suffix := hex.EncodeToString(raw[:])
	return Link{Outer: outerPrefix + suffix, Inner: innerPrefix + suffix, Key: at.key(), MAC: mac, MTU: mtu}
}

// innerOf is the other end of a pair.
func innerOf(outer string) string { return innerPrefix + strings.TrimPrefix(outer, outerPrefix) }

// containerOf is the container id of the attachment with that MAC. The engine's
// ids of endpoint and container are not known when the address is asked for.
func containerOf(mac net.HardwareAddr) string { return "mac-" + hex.EncodeToString(mac) }

func (p *Plugin) sinceNow() notes {
	return notes{noteMaker: maker, noteSince: p.now().UTC().Format(time.RFC3339Nano)}
}

// attach makes an attachment, with the pair of interfaces that it plugs in. What
// fails leaves neither. It is called with the place locked.
func (p *Plugin) attach(ctx context.Context, n network, mac net.HardwareAddr, r *controlpb.AttachContainerRequest) (attachment, error) {
	at := place{containerOf(mac), n.id}
	link := newLink(at, mac, n.mtu)
	defer p.sweeper.making(link.Outer)()
	if err := p.host.MakeLink(link); err != nil {
		return attachment{}, fmt.Errorf("making the interface: %w", err)
	}
	r.ContainerId, r.NetworkId, r.Mac = at.container, at.network, mac.String()
	r.Interface = &controlpb.Interface{Type: "External", Name: link.Outer}
	p.removals.await(ctx, at.network)
	made, err := p.control.AttachContainer(ctx, r)
	if err == nil {
		return attachment{&controlpb.ContainerNetwork{
			ContainerId: r.ContainerId, NetworkId: r.NetworkId, Interface: r.Interface, Hostname: r.Hostname, Aliases: r.Aliases,
			MacAddress: made.MacAddress, Addresses: made.Addresses, Gateways: made.Gateways, Mtu: made.Mtu, Annotations: r.Annotations,
		}, r.Annotations}, nil
	}
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if undoErr := p.remove(undo, at, link.Outer); undoErr != nil {
		p.log.Error(undoErr, "Taking back what was refused; it is cleaned up later", "attachment", at.key())
	}
	return attachment{}, n.refusal(err)
}

// undoTimeout bounds taking back what failed, whose own time may be over.
const undoTimeout = 20 * time.Second

// remove removes an attachment and then its interface. When it returns, that is on
// disk, and nobody is shown the attachment any more; what was made for it goes
// meanwhile, as does the interface, which an engine need not wait for.
func (p *Plugin) remove(ctx context.Context, at place, outer string) error {
	gone := p.removals.begin(at.network)
	r := &controlpb.DetachContainerRequest{ContainerId: at.container, NetworkId: at.network, NoWait: true}
	if _, err := p.control.DetachContainer(ctx, r); err != nil {
		gone()
		return plain(err)
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		_, err := p.control.DetachContainer(ctx, &controlpb.DetachContainerRequest{ContainerId: at.container, NetworkId: at.network})
		gone()
		if err == nil {
			err = p.host.RemoveLink(outer, at.key())
		}
		if err != nil {
			p.log.Error(plain(err), "Removing what was made for an attachment; it is cleaned up later", "attachment", at.key(), "interface", outer)
			p.sweeper.suspect()
		}
	}()
	return nil
}

// requestAddress reserves an address for an endpoint that is about to be made.
func (p *Plugin) requestAddress(ctx context.Context, r requestAddressRequest) (requestAddressResponse, error) {
	id, err := parsePoolID(r.PoolID)
	if err != nil {
		return requestAddressResponse{}, err
	}
	var asked netip.Addr
	if r.Address != "" {
		if asked, err = addressOf(r.Address); err != nil {
			return requestAddressResponse{}, fmt.Errorf("address %q: %w", r.Address, err)
		}
		if !id.pool.Contains(asked) {
			return requestAddressResponse{}, fmt.Errorf("address %s does not lie in subnet %s", asked, id.pool)
		}
	}
	if r.Options[optionMAC] == "" {
		return p.requestOfNetwork(ctx, id, asked, r.Options[optionAddressType] == optionGateway)
	}
	mac, err := macOf(r.Options[optionMAC])
	if err != nil {
		return requestAddressResponse{}, err
	}
	n := network{id: id.network}
	if n.id == "" {
		if n, err = p.poolsNetwork(ctx, id); err != nil {
			return requestAddressResponse{}, err
		}
	}
	got, err := p.reserve(ctx, n, mac, asked, id, r.Options[optionEndpointName])
	if err != nil {
		return requestAddressResponse{}, err
	}
	return requestAddressResponse{Address: got.String()}, nil
}

// poolsNetwork is the network of a pool, which must be there.
func (p *Plugin) poolsNetwork(ctx context.Context, id poolID) (network, error) {
	n, ok, err := p.networkOfPool(ctx, id)
	if err == nil && !ok {
		err = fmt.Errorf("subnet %s is of no network of driver arca; IPAM driver arca goes only with it", id.pool)
	}
	return n, err
}

// networkOfPool is the network of a pool, if it was made.
func (p *Plugin) networkOfPool(ctx context.Context, id poolID) (network, bool, error) {
	if id.network != "" {
		return p.network(ctx, id.network)
	}
	networks, err := p.networks(ctx)
	if err != nil {
		return network{}, false, err
	}
	n, ok := byAddress(networks, id.pool.Addr())
	return n, ok && slices.ContainsFunc(n.subnets, func(s subnet) bool { return s.cidr == id.pool }), nil
}

// requestOfNetwork answers what the engine asks on behalf of a network: its
// gateway, and auxiliary addresses. They come with CreateNetwork again, which is
// what makes them so.
func (p *Plugin) requestOfNetwork(ctx context.Context, id poolID, asked netip.Addr, gateway bool) (requestAddressResponse, error) {
	if !asked.IsValid() {
		return requestAddressResponse{}, errors.New("an address is asked for without the MAC of its endpoint, which the driver requires")
	}
	if gateway && id.network != "" {
		n, _, err := p.network(ctx, id.network)
		if err != nil {
			return requestAddressResponse{}, err
		}
		if !slices.ContainsFunc(n.subnets, func(s subnet) bool { return s.gateway == asked }) {
			return requestAddressResponse{}, fmt.Errorf("%s is not the gateway of network %s", asked, id.network)
		}
	}
	return requestAddressResponse{Address: netip.PrefixFrom(asked, id.pool.Bits()).String()}, nil
}

func macOf(s string) (net.HardwareAddr, error) {
	mac, err := net.ParseMAC(s)
	if err != nil || len(mac) != 6 {
		return nil, fmt.Errorf("MAC address %q: it must be six hexadecimal bytes with colons", s)
	}
	return mac, nil
}

// reserve makes the attachment that an endpoint will be written into, or finds
// the one that was made for the same request before, or for the address of the
// other family, or because it was expected. Only the id of the network need be known.
func (p *Plugin) reserve(ctx context.Context, n network, mac net.HardwareAddr, asked netip.Addr, id poolID, name string) (netip.Prefix, error) {
	at := place{containerOf(mac), n.id}
	defer p.locks.lock(at)()
	a, found, err := p.attachment(ctx, at)
	if err == nil && found && a.replacedBy(mac) {
		err, found = p.remove(ctx, at, a.GetInterface().GetName()), false
	}
	switch {
	case err != nil:
		return netip.Prefix{}, err
	case found && a.notes[noteEndpoint] != "":
		return netip.Prefix{}, fmt.Errorf("MAC address %s is that of endpoint %s on this network", mac, a.notes[noteEndpoint])
	case found:
		if asked.IsValid() && !slices.Contains(a.addresses(), asked) {
			if err := p.readdress(ctx, &a, asked); err != nil {
				return netip.Prefix{}, err
			}
		}
	default:
		r := &controlpb.AttachContainerRequest{Annotations: p.sinceNow()}
		if name != "" {
			r.Annotations[noteName] = name
		}
		if asked.IsValid() {
			r.Ip = asked.String()
		}
		if n.subnets == nil {
			if n, err = p.poolsNetwork(ctx, id); err != nil {
				return netip.Prefix{}, err
			}
		}
		if a, err = p.attach(ctx, n, mac, r); err != nil {
			return netip.Prefix{}, err
		}
	}
	if !asked.IsValid() {
		if err := p.intoRange(ctx, &a, n, id); err != nil {
			return netip.Prefix{}, errors.Join(err, p.remove(ctx, at, a.GetInterface().GetName()))
		}
	}
	for _, s := range a.GetAddresses() {
		if got, err := netip.ParsePrefix(s); err == nil && id.pool.Contains(got.Addr()) {
			return got, nil
		}
	}
	return netip.Prefix{}, noneLeft(n, id)
}

// noneLeft is what the engine itself says of a pool that is used up.
func noneLeft(n network, id poolID) error {
	return fmt.Errorf("no available %s addresses on this network's address pools: %s", family(id.pool.Addr().Is6()), n.label)
}

// replacedBy tells whether an endpoint is that of a container for which the engine
// makes another: a MAC address that is derived from the container is nobody else's,
// and an engine that was killed has forgotten the endpoint from before.
func (a attachment) replacedBy(mac net.HardwareAddr) bool {
	container := a.notes[noteContainer]
	return a.notes[noteEndpoint] != "" && container != "" && slices.Equal(mac, net.HardwareAddr(docker.DerivedMAC(container, a.GetNetworkId())))
}

// addresses are an attachment's, without prefix lengths.
func (a attachment) addresses() (out []netip.Addr) {
	for _, s := range a.GetAddresses() {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p.Addr())
		}
	}
	return out
}

// readdress gives an attachment another address of its family.
func (p *Plugin) readdress(ctx context.Context, a *attachment, asked ...netip.Addr) error {
	want := slices.Clone(asked)
	for _, have := range a.addresses() {
		if !slices.ContainsFunc(want, func(w netip.Addr) bool { return w.Is6() == have.Is6() }) {
			want = append(want, have)
		}
	}
	r := &controlpb.UpdateContainerRequest{ContainerId: a.GetContainerId(), NetworkId: a.GetNetworkId()}
	for _, w := range want {
		r.Addresses = append(r.Addresses, w.String())
	}
	if _, err := p.control.UpdateContainer(ctx, r); err != nil {
		return network{}.refusal(err)
	}
	now, found, err := p.attachment(ctx, a.place())
	if err == nil && !found {
		err = errors.New("the attachment was deleted by somebody else")
	}
	*a = now
	return err
}

// releaseAddress gives back an address that no endpoint took. That of an endpoint
// went with it; by now it may be another's.
func (p *Plugin) releaseAddress(ctx context.Context, r releaseAddressRequest) (empty, error) {
	id, err := parsePoolID(r.PoolID)
	if err != nil {
		return empty{}, err
	}
	address, err := addressOf(r.Address)
	if err != nil {
		return empty{}, fmt.Errorf("address %q: %w", r.Address, err)
	}
	network := id.network
	if network != "" && p.released.take(network, address) {
		return empty{}, nil
	}
	if network == "" {
		n, ok, err := p.networkOfPool(ctx, id)
		if err != nil {
			return empty{}, err
		}
		if !ok {
			return empty{}, nil // of a network that was not made, or is gone
		}
		network = n.id
	}
	list, err := p.attachmentsOf(ctx, &controlpb.GetContainerNetworksRequest{NetworkId: network})
	if err != nil {
		return empty{}, err
	}
	for _, a := range list {
		if a.notes[noteEndpoint] == "" && slices.Contains(a.addresses(), address) {
			return empty{}, p.removeIf(ctx, a)
		}
	}
	return empty{}, nil
}

// removeIf removes an attachment that is still as it was when it was read.
func (p *Plugin) removeIf(ctx context.Context, was attachment) error {
	defer p.locks.lock(was.place())()
	now, found, err := p.attachment(ctx, was.place())
	if err != nil || !found || now.GetUid() != was.GetUid() || now.notes[noteEndpoint] != was.notes[noteEndpoint] || now.notes[noteSince] != was.notes[noteSince] {
		return err
	}
	return p.removeEndpoint(ctx, now)
}

// removeEndpoint removes an attachment whose place is locked.
func (p *Plugin) removeEndpoint(ctx context.Context, a attachment) error {
	if err := p.remove(ctx, a.place(), a.GetInterface().GetName()); err != nil {
		return err
	}
	p.known.forget(a.notes[noteEndpoint])
	return nil
}
