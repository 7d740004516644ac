// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"cmp"
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
