// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"slices"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/pkg/ipam"
)

// maxRangeTries bounds how many addresses are tried that others take meanwhile.
const maxRangeTries = 64

// intoRange gives an attachment another address where its own is outside of the
// range that the pool's id names. So it is on a network whose pool was asked for by
// a process before this one: the engine tells the range to RequestPool and, in the
// pool's id, with each address, but not to CreateNetwork.
func (p *Plugin) intoRange(ctx context.Context, a *attachment, n network, id poolID) error {
	if !id.sub.IsValid() || slices.ContainsFunc(a.addresses(), id.sub.Contains) {
		return nil
	}
	free, err := p.freeInRange(ctx, n, id)
	if err != nil {
		return err
	}
	for range maxRangeTries {
		chosen, err := free.Allocate(a.GetName())
		if err != nil {
			break // none is left
		}
		if err := p.readdress(ctx, a, chosen); !errors.Is(err, errInUse) {
			return err
		}
		// Somebody was given it since the list was read.
		free.Release(a.GetName())
		if err := free.Restore(chosen.String(), chosen); err != nil {
			return err
		}
	}
	return noneLeft(n, id)
}

// freeInRange has the addresses of a pool's range, less those that are taken.
func (p *Plugin) freeInRange(ctx context.Context, n network, id poolID) (*ipam.Pool, error) {
	in := ipam.Subnet{CIDR: id.pool, AllocationRange: id.sub}
	for _, s := range n.subnets {
		if s.cidr == id.pool {
			in.Gateway, in.Reserved = s.gateway, s.reserved
		}
	}
	free, err := ipam.NewPool(in)
	if err != nil {
		return nil, err
	}
	on, err := p.control.GetContainerNetworks(ctx, &controlpb.GetContainerNetworksRequest{NetworkId: n.id})
	if err != nil {
		return nil, plain(err)
	}
	for _, other := range on.GetNetworks() {
		for _, address := range (attachment{ContainerNetwork: other}).addresses() {
			if !id.pool.Contains(address) {
				continue
			}
			if err := free.Restore(address.String(), address); err != nil {
				return nil, err
			}
		}
	}
	return free, nil
}
