// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"math"
	"math/big"
	"net/netip"

	"github.com/moby/moby/api/types/network"
)

// ipamStatus counts the addresses of a network.
func ipamStatus(n *dockerNetwork, endpoints map[string]network.EndpointResource) *network.Status {
	s := &network.Status{IPAM: network.IPAMStatus{Subnets: network.SubnetStatuses{}}}
	if !n.hasAddresses() {
		return s
	}
	for _, b := range n.info.GetSubnets() {
		c, ok := configOf(b)
		if !ok {
			continue
		}
		used := map[netip.Addr]bool{c.Subnet.Addr(): true}
		if !FactsOf(n.info).isolated(c.Subnet.Addr()) {
			used[c.Gateway] = true
		}
		if c.Subnet.Addr().Is4() {
			used[lastOf(c.Subnet)] = true
		}
		for _, a := range c.AuxAddress {
			used[a] = true
		}
		for _, e := range endpoints {
			for _, p := range []netip.Prefix{e.IPv4Address, e.IPv6Address} {
				if c.Subnet.Contains(p.Addr()) {
					used[p.Addr()] = true
				}
			}
		}
		dynamic := c.Subnet
		if c.IPRange.IsValid() {
			dynamic = c.IPRange
		}
		taken := int64(0)
		for a := range used {
			if dynamic.Contains(a) {
				taken++
			}
		}
		s.IPAM.Subnets[c.Subnet] = network.SubnetStatus{
			IPsInUse:            uint64(len(used)),
			DynamicIPsAvailable: saturated(new(big.Int).Sub(sizeOf(dynamic), big.NewInt(taken))),
		}
	}
	return s
}

func sizeOf(p netip.Prefix) *big.Int {
	return new(big.Int).Lsh(big.NewInt(1), uint(p.Addr().BitLen()-p.Bits()))
}

func saturated(n *big.Int) uint64 {
	if n.IsUint64() {
		return n.Uint64()
	}
	return math.MaxUint64
}

// lastOf is the last address of an IPv4 range.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}
