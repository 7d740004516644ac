// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"errors"
	"net/netip"
	"slices"
)

// ErrNoSubnet says that every default subnet overlaps one that is in use.
var ErrNoSubnet = errors.New("172.17.0.0/16 to 172.31.0.0/16 and the /20s of 192.168.0.0/16 are all in use")

// PickSubnet chooses the subnet of a network that names none, in the order of
// Docker's default address pools: 172.17.0.0/16 for the network "bridge", then
// 172.18.0.0/16 to 172.31.0.0/16, then the /20s of 192.168.0.0/16. What
// overlaps a range of used is skipped. The error is ErrNoSubnet.
func PickSubnet(network string, used []netip.Prefix) (netip.Prefix, error) {
	var candidates []netip.Prefix
	if network == "bridge" {
		candidates = append(candidates, netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 17, 0, 0}), 16))
	}
	for second := byte(18); second <= 31; second++ {
		candidates = append(candidates, netip.PrefixFrom(netip.AddrFrom4([4]byte{172, second, 0, 0}), 16))
	}
	for third := 0; third < 256; third += 16 {
		candidates = append(candidates, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(third), 0}), 20))
	}
	for _, c := range candidates {
		if !slices.ContainsFunc(used, c.Overlaps) {
			return c, nil
		}
	}
	return netip.Prefix{}, ErrNoSubnet
}

// ErrNoSubnet6 says that every /64 of a machine's own range is in use.
var ErrNoSubnet6 = errors.New("every /64 of the unique local /48 is in use")

// PickSubnet6 chooses an IPv6 subnet: the first /64 of the unique local /48
// with this global ID (RFC 4193) that overlaps no range of used. The global ID
// is random, made once and kept, so that two machines' networks can be joined
// later. The error is ErrNoSubnet6.
func PickSubnet6(globalID [5]byte, used []netip.Prefix) (netip.Prefix, error) {
	raw := [16]byte{0xfd}
	copy(raw[1:], globalID[:])
	site := netip.PrefixFrom(netip.AddrFrom16(raw), 48)

	// One pass marks what is in use: to try each of 65,536 subnets against a
	// thousand ranges takes seconds where most are in use.
	var taken [1 << 16]bool
	for _, u := range used {
		if !u.Overlaps(site) {
			continue
		}
		if u.Bits() <= site.Bits() {
			return netip.Prefix{}, ErrNoSubnet6
		}
		for i := subnetID(u.Masked().Addr()); i <= subnetID(lastOf(u)); i++ {
			taken[i] = true
		}
	}
	i := slices.Index(taken[:], false)
	if i < 0 {
		return netip.Prefix{}, ErrNoSubnet6
	}
	raw[6], raw[7] = byte(i>>8), byte(i)
	return netip.PrefixFrom(netip.AddrFrom16(raw), 64), nil
}

// subnetID is the part of an address between the site's range and the subnet's.
func subnetID(a netip.Addr) int {
	raw := a.As16()
	return int(raw[6])<<8 | int(raw[7])
}
