// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vas-solutus/arca-network/pkg/ipam"
)

// addressSpace is the name of the space that pools are from. It tells a network
// whose pool this driver has proposed.
const addressSpace = "arca"

// poolID is what the engine remembers of a pool and sends with each request for
// an address. It says all that has to be known, so nothing needs to be kept.
type poolID struct {
	// network is the id of a Network object that is there; empty where the pool is
	// of a network that the engine makes.
	network string
	pool    netip.Prefix
	// sub is the part that addresses are chosen from, if not all of pool.
	sub netip.Prefix
}

func (id poolID) String() string {
	parts := []string{id.pool.String()}
	if id.sub.IsValid() {
		parts = append(parts, "range="+id.sub.String())
	}
	if id.network != "" {
		parts = append(parts, "network="+id.network)
	}
	return strings.Join(parts, ",")
}

func parsePoolID(s string) (id poolID, err error) {
	bad := fmt.Errorf("pool %q is not one of this driver's", s)
	for i, part := range strings.Split(s, ",") {
		key, value, named := strings.Cut(part, "=")
		switch {
		case i == 0:
			id.pool, err = netip.ParsePrefix(part)
		case named && key == "range":
			id.sub, err = netip.ParsePrefix(value)
		case named && key == "network" && value != "":
			id.network = value
		default:
			return poolID{}, bad
		}
		if err != nil {
			return poolID{}, bad
		}
	}
	return id, nil
}

// poolHeld is how long a pool that was proposed is not proposed to others. The
// engine makes the network right afterwards.
const poolHeld = 2 * time.Minute

// held is a pool that was proposed.
type held struct {
	id    poolID
	since time.Time
}

// pools are the pools of networks that are just being made.
type pools struct {
	now  func() time.Time
	mu   sync.Mutex
	held []held
}

// fresh forgets what was held too long. It is called with the lock held.
func (p *pools) fresh() {
	p.held = slices.DeleteFunc(p.held, func(h held) bool { return p.now().Sub(h.since) > poolHeld })
}

// hold keeps a pool that is named. Two networks of one pool at the same time are
// left to CreateNetwork, which refuses the second.
func (p *pools) hold(id poolID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fresh()
	p.held = append(p.held, held{id, p.now()})
}

// propose holds a pool that is neither used nor held, chosen by pick.
func (p *pools) propose(used []netip.Prefix, pick func(used []netip.Prefix) (netip.Prefix, error)) (poolID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fresh()
	for _, h := range p.held {
		used = append(used, h.id.pool)
	}
	chosen, err := pick(used)
	if err != nil {
		return poolID{}, err
	}
	id := poolID{pool: chosen}
	p.held = append(p.held, held{id, p.now()})
	return id, nil
}

// release forgets one holding of a pool.
func (p *pools) release(id poolID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.held, func(h held) bool { return h.id == id }); i >= 0 {
		p.held = slices.Delete(p.held, i, i+1)
	}
}

// of returns the pool that is held, and whether that is so and it is one.
func (p *pools) of(pool netip.Prefix) (id poolID, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fresh()
	for _, h := range p.held {
		switch {
		case h.id.pool != pool:
		case ok && h.id != id:
			return poolID{}, false
		default:
			id, ok = h.id, true
		}
	}
	return id, ok
}

// requestPool proposes a pool for a network that is about to be made.
func (p *Plugin) requestPool(ctx context.Context, r requestPoolRequest) (requestPoolResponse, error) {
	networks, err := p.networks(ctx)
	if err != nil {
		return requestPoolResponse{}, err
	}
	if existing := r.Options[OptionNetwork]; existing != "" {
		return poolOfNetwork(networks, existing, r)
	}
	if r.Pool == "" && r.SubPool != "" {
		return requestPoolResponse{}, fmt.Errorf("a range is asked for without its subnet; name both")
	}
	if r.Pool == "" {
		return p.choosePool(networks, r.V6)
	}
	id, err := poolAsked(r)
	if err != nil {
		return requestPoolResponse{}, err
	}
	if overlap(networks, id.pool) {
		return requestPoolResponse{}, errOverlap
	}
	p.pools.hold(id)
	return poolResponse(id, ipam.DefaultGateway(id.pool)), nil
}

func poolAsked(r requestPoolRequest) (id poolID, err error) {
	if id.pool, err = netip.ParsePrefix(r.Pool); err != nil || id.pool != id.pool.Masked() {
		return id, fmt.Errorf("pool %q: it must be a subnet in CIDR form, without host bits", r.Pool)
	}
	if id.pool.Addr().IsUnspecified() {
		return id, fmt.Errorf("pool %s: the size of a subnet cannot be chosen yet; name the subnet, or nothing", id.pool)
	}
	if r.SubPool == "" {
		return id, nil
	}
	if id.sub, err = netip.ParsePrefix(r.SubPool); err != nil || id.sub != id.sub.Masked() {
		return id, fmt.Errorf("range %q: it must be in CIDR form, without host bits", r.SubPool)
	}
	if id.sub.Bits() < id.pool.Bits() || !id.pool.Contains(id.sub.Addr()) {
		return id, fmt.Errorf("range %s does not lie in subnet %s", id.sub, id.pool)
	}
	return id, nil
}

// poolOfNetwork is the subnet of a network that is there.
func poolOfNetwork(networks []network, id string, r requestPoolRequest) (requestPoolResponse, error) {
	n, ok := byID(networks, id)
	if !ok {
		return requestPoolResponse{}, fmt.Errorf("network %s does not exist", id)
	}
	v6 := r.V6 || strings.Contains(r.Pool, ":")
	for _, s := range n.subnets {
		if s.cidr.Addr().Is6() != v6 {
			continue
		}
		if r.Pool != "" && r.Pool != s.cidr.String() {
			return requestPoolResponse{}, fmt.Errorf("subnet %s is asked for; that of network %s is %s", r.Pool, id, s.cidr)
		}
		return poolResponse(poolID{network: id, pool: s.cidr}, s.gateway), nil
	}
	return requestPoolResponse{}, fmt.Errorf("network %s has no %s subnet", id, family(v6))
}

func family(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

func (p *Plugin) choosePool(networks []network, v6 bool) (requestPoolResponse, error) {
	used, err := p.host.Routes()
	if err != nil {
		return requestPoolResponse{}, fmt.Errorf("reading the host's routes: %w", err)
	}
	for _, n := range networks {
		for _, s := range n.subnets {
			used = append(used, s.cidr)
		}
	}
	id, err := p.pools.propose(used, func(used []netip.Prefix) (netip.Prefix, error) {
		if v6 {
			return ipam.PickSubnet6(randomGlobalID(), used)
		}
		return ipam.PickSubnet("", used)
	})
	if err != nil {
		return requestPoolResponse{}, fmt.Errorf("no %s subnet is free (%w); name one", family(v6), err)
	}
	return poolResponse(id, ipam.DefaultGateway(id.pool)), nil
}

// poolResponse tells the gateway too, so that the engine asks for none.
func poolResponse(id poolID, gateway netip.Addr) requestPoolResponse {
	return requestPoolResponse{
		PoolID: id.String(), Pool: id.pool.String(),
		Data: map[string]string{optionGateway: netip.PrefixFrom(gateway, id.pool.Bits()).String()},
	}
}

// releasePool: a pool goes with its network, and before that it is nothing.
func (p *Plugin) releasePool(_ context.Context, r releasePoolRequest) (empty, error) {
	id, err := parsePoolID(r.PoolID)
	if err != nil {
		return empty{}, err
	}
	p.pools.release(id)
	return empty{}, nil
}
