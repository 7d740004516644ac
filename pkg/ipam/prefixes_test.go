// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"errors"
	"net"
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

func TestPickSubnet(t *testing.T) {
	for _, c := range []struct {
		network string
		used    []netip.Prefix
		want    string
	}{
		{"bridge", nil, "172.17.0.0/16"},
		{"bridge", prefixes("172.17.3.0/24"), "172.18.0.0/16"},
		{"other", nil, "172.18.0.0/16"},
		{"other", prefixes("172.16.0.0/12"), "192.168.0.0/20"},
		{"other", prefixes("172.16.0.0/12", "192.168.17.0/24", "192.168.1.0/24"), "192.168.32.0/20"},
		{"other", prefixes("172.16.0.0/12", "192.168.0.0/16"), ""},
		{"other", prefixes("0.0.0.0/0"), ""},
	} {
		got, err := ipam.PickSubnet(c.network, c.used)
		if c.want == "" {
			if !errors.Is(err, ipam.ErrNoSubnet) {
				t.Errorf("%s beside %v: got %v, %v", c.network, c.used, got, err)
			}
			continue
		}
		if err != nil || got.String() != c.want {
			t.Errorf("%s beside %v: got %v, %v, want %s", c.network, c.used, got, err, c.want)
		}
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

func TestMACTable(t *testing.T) {
	table := ipam.NewMACTable()
	mac := table.Allocate("a", "uid-a")
	if mac.String() != ipam.MACFor("uid-a", 0).String() || mac[0] != 2 {
		t.Errorf("got %s", mac)
	}
	if again := table.Allocate("a", "other"); again.String() != mac.String() {
		t.Errorf("a had %s, got %s", mac, again)
	}
	// Another object whose hash collides steps aside.
	if other := table.Allocate("b", "uid-a"); other.String() == mac.String() {
		t.Error("two holders of one address")
	}
	for _, bad := range []net.HardwareAddr{{1, 2, 3, 4, 5, 6}, {0, 0, 0, 0, 0, 0}, {2, 0, 0, 0, 0, 0, 0, 1}, mac} {
		if err := table.Claim("c", bad); err == nil {
			t.Errorf("Claim(%s) succeeded", bad)
		}
	}
	table.Release("a")
	if err := table.Claim("c", mac); err != nil {
		t.Error(err)
	}
}
