// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/vas-solutus/arca-network/pkg/ipam"
)

func prefixes(in ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range in {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// TestPrefixSetEdges: neighbours do not overlap, host bits do not count, and
// what is no range is not taken.
func TestPrefixSetEdges(t *testing.T) {
	set := ipam.NewPrefixSet()
	for _, p := range prefixes("10.0.0.5/24", "10.0.1.0/24", "0.0.0.0/32", "255.255.255.255/32", "fd00::/64") {
		if !set.Insert(p, p.String()) {
			t.Errorf("Insert(%v) = false", p)
		}
	}
	if set.Insert(netip.Prefix{}, "none") {
		t.Error("the zero range was taken")
	}
	for in, want := range map[string]string{
		"10.0.0.0/24": "10.0.0.5/24", "10.0.0.255/32": "10.0.0.5/24", "10.0.1.128/25": "10.0.1.0/24", "10.0.2.0/24": "", "9.255.255.255/32": "",
		"0.0.0.0/8": "0.0.0.0/32", "255.0.0.0/8": "255.255.255.255/32", "fd00:0:0:1::/64": "", "fd00::9/128": "fd00::/64", "::/1": "",
	} {
		if owner, overlaps := set.Overlap(netip.MustParsePrefix(in)); owner != want || overlaps != (want != "") {
			t.Errorf("Overlap(%s) = %q, %v, want %q", in, owner, overlaps, want)
		}
	}
	set.Remove(netip.MustParsePrefix("10.0.0.77/24"))
	if owner, overlaps := set.Overlap(netip.MustParsePrefix("10.0.0.0/24")); overlaps {
		t.Errorf("what was removed overlaps as %s", owner)
	}
}

// TestPrefixSetProperties compares the set with a list that is searched whole.
func TestPrefixSetProperties(t *testing.T) {
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		if rapid.Bool().Draw(t, "v6") {
			return netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, rapid.Byte().Draw(t, "b")}), rapid.IntRange(8, 20).Draw(t, "bits")).Masked()
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, rapid.Byte().Draw(t, "b"), rapid.Byte().Draw(t, "c"), 0}), rapid.IntRange(8, 26).Draw(t, "bits")).Masked()
	})
	rapid.Check(t, func(t *rapid.T) {
		set, model := ipam.NewPrefixSet(), map[netip.Prefix]string{}
		overlap := func(p netip.Prefix) bool {
			for q := range model {
				if q.Overlaps(p) {
					return true
				}
			}
			return false
		}
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				p := prefix.Draw(t, "prefix")
				want := !overlap(p)
				if got := set.Insert(p, p.String()); got != want {
					t.Fatalf("Insert(%v) = %v, want %v", p, got, want)
				}
				if want {
					model[p] = p.String()
				}
			},
			"remove": func(t *rapid.T) {
				p := prefix.Draw(t, "prefix")
				set.Remove(p)
				delete(model, p)
			},
			"overlap": func(t *rapid.T) {
				p := prefix.Draw(t, "prefix")
				owner, got := set.Overlap(p)
				if got != overlap(p) {
					t.Fatalf("Overlap(%v) = %v", p, got)
				}
				if got && !netip.MustParsePrefix(owner).Overlaps(p) {
					t.Fatalf("Overlap(%v) = %s, which does not", p, owner)
				}
			},
		})
	})
}
