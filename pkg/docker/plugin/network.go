// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/pkg/docker"
)

// network is a Network object as the plugin needs it.
type network struct {
	id string
	// label is what Docker calls it, its name and its id.
	label    string
	subnets  []subnet
	internal bool
	mtu      int
	// names: its gateway answers for names.
	names bool
	// hostBinding is the host's address that ports are published at where none is said;
	// empty for all.
	hostBinding string
	notes       notes
	// containers are on it.
	containers int
}

type subnet struct {
	cidr     netip.Prefix
	gateway  netip.Addr
	reserved []netip.Addr
}

// networks are all Network objects.
func (p *Plugin) networks(ctx context.Context) ([]network, error) {
	return p.listNetworks(ctx, &controlpb.ListBridgesRequest{})
}

// network is the Network object of an id, if there is one.
func (p *Plugin) network(ctx context.Context, id string) (network, bool, error) {
	list, err := p.listNetworks(ctx, &controlpb.ListBridgesRequest{NetworkId: id})
	if err != nil || len(list) == 0 {
		return network{}, false, err
	}
	return list[0], true, nil
}

func (p *Plugin) listNetworks(ctx context.Context, r *controlpb.ListBridgesRequest) ([]network, error) {
	list, err := p.control.ListBridges(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("listing networks: %w", plain(err))
	}
	var out []network
	for _, b := range list.GetBridges() {
		facts := docker.FactsOf(b)
		n := network{
			id: b.GetNetworkId(), label: fmt.Sprintf("%s (%s)", facts.Name, docker.NetworkID(b)),
			internal: b.GetInternal(), mtu: int(b.GetMtu()), notes: b.GetAnnotations(), containers: len(b.GetContainers()),
			names:       b.GetDns() == nil || b.GetDns().Enabled == nil || b.GetDns().GetEnabled(),
			hostBinding: hostBindingOf(b.GetAnnotations(), facts),
		}
		for _, s := range b.GetSubnets() {
			cidr, err := netip.ParsePrefix(s.GetCidr())
			if err != nil {
				continue // it is not accepted, so no address is of it
			}
			gateway, _ := netip.ParseAddr(s.GetGateway())
			one := subnet{cidr: cidr, gateway: gateway}
			for _, r := range s.GetReserved() {
				if a, err := netip.ParseAddr(r); err == nil {
					one.reserved = append(one.reserved, a)
				}
			}
			n.subnets = append(n.subnets, one)
		}
		out = append(out, n)
	}
	return out, nil
}

// hostBindingOf is what a network's maker was told, who may be this driver or serve
// Docker's API. To an engine 0.0.0.0 is all addresses there, of both families.
func hostBindingOf(noted notes, facts docker.Facts) string {
	a, err := netip.ParseAddr(cmp.Or(noted[noteHostBinding], facts.Options[optionHostBinding]))
	if err != nil || a == netip.IPv4Unspecified() {
		return ""
	}
	return a.Unmap().String()
}

// outside is the first of addresses that is in none of the network's subnets.
func (n network) outside(addresses []netip.Addr) (out netip.Addr, found bool) {
	for _, a := range addresses {
		if !slices.ContainsFunc(n.subnets, func(s subnet) bool { return s.cidr.Contains(a) }) {
			return a, true
		}
	}
	return out, false
}

func byID(networks []network, id string) (network, bool) {
	i := slices.IndexFunc(networks, func(n network) bool { return n.id == id })
	if i < 0 {
		return network{}, false
	}
	return networks[i], true
}

func byAddress(networks []network, a netip.Addr) (network, bool) {
	i := slices.IndexFunc(networks, func(n network) bool {
		return slices.ContainsFunc(n.subnets, func(s subnet) bool { return s.cidr.Contains(a) })
	})
	if i < 0 {
		return network{}, false
	}
	return networks[i], true
}

// errOverlap is what the engine itself says of a pool that is taken.
var errOverlap = errors.New("invalid pool request: Pool overlaps with other one on this address space")

// errInUse is what the engine itself says of an address that is taken.
var errInUse error = engineError("Address already in use")

// engineError is spelled as the engine spells it.
type engineError string

func (e engineError) Error() string { return string(e) }

func overlap(networks []network, pool netip.Prefix) bool {
	return slices.ContainsFunc(networks, func(n network) bool {
		return slices.ContainsFunc(n.subnets, func(s subnet) bool { return s.cidr.Overlaps(pool) })
	})
}

// randomGlobalID makes an IPv6 range as random as RFC 4193 asks for.
func randomGlobalID() (id [5]byte) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// createNetwork makes a Network, unless it is one that is there already.
func (p *Plugin) createNetwork(ctx context.Context, r createNetworkRequest) (empty, error) {
	if r.NetworkID == "" {
		return empty{}, errors.New("NetworkID must be given")
	}
	o, err := networkOptionsOf(r.Options)
	if err != nil {
		return empty{}, err
	}
	if o.existing != "" {
		return empty{}, p.checkExisting(ctx, o.existing, r)
	}
	defer p.locks.lock(place{network: r.NetworkID})()
	sub := p.heldRanges(r)
	request, err := createRequest(r, o, sub)
	if err != nil {
		return empty{}, err
	}
	request.Annotations = p.sinceNow()
	request.Annotations[noteDriver] = DriverName
	if o.hostBinding != "" {
		request.Annotations[noteHostBinding] = o.hostBinding
	}
	if id, err := p.callingEngine(ctx); err == nil {
		request.Annotations[noteEngine] = id
	} else {
		// It stays when the engine forgets it: nobody would know whose it is.
		p.log.Info("The engine does not say who it is; the network will not be cleaned up", "network", r.NetworkID, "reason", err.Error())
	}
	if _, err := p.control.CreateBridge(ctx, request); err != nil {
		return empty{}, refusal(err)
	}
	for _, d := range slices.Concat(r.IPv4Data, r.IPv6Data) {
		if pool, err := netip.ParsePrefix(d.Pool); err == nil {
			p.pools.release(poolID{pool: pool, sub: sub[pool]})
		}
	}
	return empty{}, nil
}

// heldRanges are the parts of pools that addresses are chosen from. Of a pool that
// a process before this one was asked for, or two engines at once, it is not known;
// then each address is put into its range, see intoRange.
func (p *Plugin) heldRanges(r createNetworkRequest) map[netip.Prefix]netip.Prefix {
	out := map[netip.Prefix]netip.Prefix{}
	for _, d := range slices.Concat(r.IPv4Data, r.IPv6Data) {
		pool, err := netip.ParsePrefix(d.Pool)
		if err != nil || d.AddressSpace != addressSpace {
			continue
		}
		if id, ok := p.pools.of(pool); ok && id.sub.IsValid() {
			out[pool] = id.sub
		}
	}
	return out
}

// checkExisting looks whether a network that is there can stand for one of the
// engine's. Endpoints are known to be on it by their addresses.
func (p *Plugin) checkExisting(ctx context.Context, id string, r createNetworkRequest) error {
	n, ok, err := p.network(ctx, id)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("option %s: network %s does not exist", OptionNetwork, id)
	}
	for _, d := range slices.Concat(r.IPv4Data, r.IPv6Data) {
		pool, err := netip.ParsePrefix(d.Pool)
		if err != nil || !slices.ContainsFunc(n.subnets, func(s subnet) bool { return s.cidr == pool }) {
			return fmt.Errorf("option %s: %s is not a subnet of network %s; use --ipam-driver arca with the same option", OptionNetwork, d.Pool, id)
		}
	}
	return nil
}

// deleteNetwork deletes a Network that this driver has made. Endpoints that are
// still on it the engine has forgotten.
func (p *Plugin) deleteNetwork(ctx context.Context, r networkRequest) (empty, error) {
	if r.NetworkID == "" {
		return empty{}, errors.New("NetworkID must be given")
	}
	n, ok, err := p.network(ctx, r.NetworkID)
	if err != nil {
		return empty{}, err
	}
	p.stands.forget(r.NetworkID)
	if !ok || n.notes[noteMaker] != maker {
		return empty{}, nil
	}
	if n.containers > 0 {
		if err := p.removeEndpointsOn(ctx, n.id); err != nil {
			return empty{}, err
		}
	}
	if _, err := p.control.DeleteBridge(ctx, &controlpb.DeleteBridgeRequest{NetworkId: n.id}); err != nil {
		return empty{}, refusal(err)
	}
	return empty{}, nil
}

// refusal says what the control API refuses, in the engine's words where it has
// any.
func refusal(err error) error {
	switch reason := reasonOf(err); {
	case reason == reasonSubnetOverlap:
		return errOverlap
	case reason == reasonAddressInUse:
		return errInUse
	case reason == reasonPoolExhausted && codeOf(err) == codes.ResourceExhausted:
		return errors.New("no available addresses on this network's address pools: " + plain(err).Error())
	}
	return plain(err)
}

// refusal says what is refused of an endpoint on a network. An engine makes no
// difference between an address that is another's and one that is nobody's to have.
func (n network) refusal(err error) error {
	switch reason := reasonOf(err); {
	case reason == reasonAddressNotUsable:
		return errInUse
	case reason == reasonPoolExhausted && codeOf(err) == codes.ResourceExhausted:
		v6 := slices.ContainsFunc(n.subnets, func(s subnet) bool {
			return s.cidr.Addr().Is6() && strings.Contains(messageOf(err), s.cidr.String())
		})
		return fmt.Errorf("no available %s addresses on this network's address pools: %s", family(v6), n.label)
	}
	return refusal(err)
}

// plain is an error of the control API without what gRPC puts before it.
func plain(err error) error {
	text := messageOf(err)
	if text == "" {
		return err
	}
	return errors.New(strings.TrimSpace(text))
}
