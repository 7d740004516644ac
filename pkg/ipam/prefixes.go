// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
)

// PrefixSet holds ranges that do not overlap each other, and finds the one
// that overlaps a given range in O(log n). Host bits do not count:
// 10.0.0.5/24 is 10.0.0.0/24.
type PrefixSet struct {
	sorted []owned
}

type owned struct {
	prefix netip.Prefix
	owner  string
}

// NewPrefixSet returns an empty set.
func NewPrefixSet() *PrefixSet { return &PrefixSet{} }

// search finds where a range is, or would be.
func (s *PrefixSet) search(p netip.Prefix) (int, bool) {
	p = p.Masked()
	return slices.BinarySearchFunc(s.sorted, p, func(have owned, want netip.Prefix) int {
		return cmp.Or(have.prefix.Addr().Compare(want.Addr()), cmp.Compare(have.prefix.Bits(), want.Bits()))
	})
}

// Overlap returns the owner of a range that has addresses in common with p.
func (s *PrefixSet) Overlap(p netip.Prefix) (owner string, overlaps bool) {
	i, _ := s.search(p)
	for _, j := range []int{i - 1, i} {
		if j >= 0 && j < len(s.sorted) && s.sorted[j].prefix.Overlaps(p) {
			return s.sorted[j].owner, true
		}
	}
	return "", false
}

// Insert adds a range. It is ignored, and false returned, where it overlaps
// another or is none.
func (s *PrefixSet) Insert(p netip.Prefix, owner string) bool {
	if _, overlaps := s.Overlap(p); overlaps || !p.IsValid() {
		return false
	}
	i, _ := s.search(p)
	s.sorted = slices.Insert(s.sorted, i, owned{p.Masked(), owner})
	return true
}

// Remove takes a range out. None is no error.
func (s *PrefixSet) Remove(p netip.Prefix) {
	if i, found := s.search(p); found {
		s.sorted = slices.Delete(s.sorted, i, i+1)
	}
}

// Prefixes returns all ranges in ascending order.
func (s *PrefixSet) Prefixes() []netip.Prefix {
	out := make([]netip.Prefix, len(s.sorted))
	for i, o := range s.sorted {
		out[i] = o.prefix
	}
	return out
}

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
