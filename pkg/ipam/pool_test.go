// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/vas-solutus/arca-network/pkg/ipam"
)

func newPool(t testing.TB, cidr, gateway, within string, reserved ...string) *ipam.Pool {
	t.Helper()
	s := ipam.Subnet{CIDR: netip.MustParsePrefix(cidr)}
	if gateway != "" {
		s.Gateway = netip.MustParseAddr(gateway)
	}
	if within != "" {
		s.AllocationRange = netip.MustParsePrefix(within)
	}
	for _, r := range reserved {
		s.Reserved = append(s.Reserved, netip.MustParseAddr(r))
	}
	p, err := ipam.NewPool(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestEdges: which addresses a pool gives out, all of them, in order.
func TestEdges(t *testing.T) {
	for _, c := range []struct {
		cidr, gateway, within string
		reserved              []string
		want                  []string
	}{
		{cidr: "10.0.0.0/30", want: []string{"10.0.0.2"}},
		{cidr: "10.0.0.0/30", gateway: "10.0.0.2", want: []string{"10.0.0.1"}},
		{cidr: "10.0.0.0/31", want: []string{"10.0.0.1"}},
		{cidr: "10.0.0.0/31", gateway: "10.0.0.1", want: []string{"10.0.0.0"}},
		{cidr: "10.0.0.0/32", want: nil},
		{cidr: "10.0.0.0/29", want: []string{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"}},
		{cidr: "10.0.0.0/29", reserved: []string{"10.0.0.3", "10.0.0.7"}, want: []string{"10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"}},
		{cidr: "10.0.0.0/24", within: "10.0.0.252/30", want: []string{"10.0.0.252", "10.0.0.253", "10.0.0.254"}},
		{cidr: "10.0.0.0/24", within: "10.0.0.0/30", want: []string{"10.0.0.2", "10.0.0.3"}},
		// Not every .0 and .255 is a network or broadcast address.
		{cidr: "10.0.0.0/23", within: "10.0.0.254/31", want: []string{"10.0.0.254", "10.0.0.255"}},
		{cidr: "10.0.0.0/23", within: "10.0.1.0/31", want: []string{"10.0.1.0", "10.0.1.1"}},
		{cidr: "fd00::/126", want: []string{"fd00::2", "fd00::3"}},
		{cidr: "fd00::/127", want: []string{"fd00::1"}},
		{cidr: "fd00::/128", want: nil},
		{cidr: "255.255.255.252/30", want: []string{"255.255.255.254"}},
	} {
		t.Run(fmt.Sprint(c.cidr, c.gateway, c.within), func(t *testing.T) {
			p := newPool(t, c.cidr, c.gateway, c.within, c.reserved...)
			if got := p.Size(); got != uint64(len(c.want)) {
				t.Errorf("Size() = %d, want %d", got, len(c.want))
			}
			for i, want := range c.want {
				a, err := p.Allocate(fmt.Sprint("h", i))
				if err != nil || a.String() != want {
					t.Fatalf("allocation %d: got %v, %v, want %s", i, a, err, want)
				}
			}
			var exhausted *ipam.ExhaustedError
			if a, err := p.Allocate("one too many"); !errors.As(err, &exhausted) || exhausted.Held != len(c.want) {
				t.Errorf("full pool: got %v, %v", a, err)
			}
		})
	}
}

func TestClaim(t *testing.T) {
	p := newPool(t, "10.0.0.0/24", "", "10.0.0.128/25", "10.0.0.9")
	for addr, why := range map[string]string{
		"10.0.0.0": "network", "10.0.0.255": "broadcast", "10.0.0.1": "gateway", "10.0.0.9": "reserved", "10.0.1.1": "outside", "fd00::1": "outside",
	} {
		var unusable *ipam.UnusableError
		if err := p.Claim("x", netip.MustParseAddr(addr)); !errors.As(err, &unusable) || unusable.Why != why {
			t.Errorf("Claim(%s): got %v, want %s", addr, err, why)
		}
	}
	if err := p.Claim("a", netip.MustParseAddr("10.0.0.5")); err != nil {
		t.Errorf("an address outside the allocation range can be claimed: %v", err)
	}
	if err := p.Claim("a", netip.MustParseAddr("10.0.0.5")); err != nil {
		t.Errorf("claiming again: %v", err)
	}
	var taken *ipam.TakenError
	if err := p.Claim("b", netip.MustParseAddr("10.0.0.5")); !errors.As(err, &taken) || taken.Holder != "a" {
		t.Errorf("got %v, want held by a", err)
	}
	if err := p.Claim("a", netip.MustParseAddr("10.0.0.6")); err != nil {
		t.Error(err)
	}
	if holder, held := p.Holder(netip.MustParseAddr("10.0.0.5")); held {
		t.Errorf("the former address is still held by %s", holder)
	}
}

// TestReleasedLast: a released address comes back after all that nobody had,
// and the one released first comes back first.
func TestReleasedLast(t *testing.T) {
	p := newPool(t, "10.0.0.0/29", "", "")
	for i := range 3 {
		_, _ = p.Allocate(fmt.Sprint(i)) // .2 .3 .4
	}
	p.Release("1")
	p.Release("0")
	p.Release("nobody")
	for _, want := range []string{"10.0.0.5", "10.0.0.6", "10.0.0.3", "10.0.0.2"} {
		if a, err := p.Allocate("new " + want); err != nil || a.String() != want {
			t.Errorf("got %v, %v, want %s", a, err, want)
		}
	}
}

// TestRestore: what a holder has had stays, though it is reserved by now.
func TestRestore(t *testing.T) {
	p := newPool(t, "10.0.0.0/29", "", "", "10.0.0.3")
	p.Restore("old", netip.MustParseAddr("10.0.0.3"))
	if a, err := p.Allocate("old"); err != nil || a.String() != "10.0.0.3" {
		t.Errorf("got %v, %v", a, err)
	}
	p.Release("old")
	for range 4 {
		if a, _ := p.Allocate(fmt.Sprint(p.Held())); a.String() == "10.0.0.3" {
			t.Error("a reserved address was given out")
		}
	}
}

// TestPoolProperties runs random operations beside a naive model.
func TestPoolProperties(t *testing.T) {
	cidrs := []string{"10.0.0.0/28", "10.0.0.0/31", "10.0.0.240/29", "fd00::/124", "fd00::/127"}
	rapid.Check(t, func(t *rapid.T) {
		s := ipam.Subnet{CIDR: netip.MustParsePrefix(rapid.SampledFrom(cidrs).Draw(t, "cidr"))}
		var all []netip.Addr
		for a := s.CIDR.Addr(); s.CIDR.Contains(a); a = a.Next() {
			all = append(all, a)
		}
		s.Reserved = rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, 2, rapid.ID[netip.Addr]).Draw(t, "reserved")
		p, err := ipam.NewPool(s)
		if err != nil {
			t.Fatal(err)
		}
		forbidden := map[netip.Addr]bool{p.Gateway(): true}
		for _, r := range s.Reserved {
			forbidden[r] = true
		}
		if len(all) > 2 {
			forbidden[all[0]] = true
			if all[0].Is4() {
				forbidden[all[len(all)-1]] = true
			}
		}
		usable := 0
		for _, a := range all {
			if !forbidden[a] {
				usable++
			}
		}
		if p.Size() != uint64(usable) {
			t.Fatalf("Size() = %d, want %d", p.Size(), usable)
		}
		holders := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"})
		model := map[string]netip.Addr{}
		held := func(a netip.Addr) string {
			for h, x := range model {
				if x == a {
					return h
				}
			}
			return ""
		}
		t.Repeat(map[string]func(*rapid.T){
			"allocate": func(t *rapid.T) {
				h := holders.Draw(t, "holder")
				a, err := p.Allocate(h)
				before, had := model[h]
				switch {
				case had && (err != nil || a != before):
					t.Fatalf("%s had %v, got %v, %v", h, before, a, err)
				case had:
				case len(model) == usable:
					if err == nil {
						t.Fatalf("got %v from a full pool", a)
					}
				case err != nil:
					t.Fatalf("%d of %d held, got %v", len(model), usable, err)
				case forbidden[a] || !s.CIDR.Contains(a) || held(a) != "":
					t.Fatalf("got %v: forbidden %v, held by %q", a, forbidden[a], held(a))
				default:
					model[h] = a
				}
			},
			"claim": func(t *rapid.T) {
				h, a := holders.Draw(t, "holder"), rapid.SampledFrom(all).Draw(t, "addr")
				err := p.Claim(h, a)
				other := held(a)
				if ok := !forbidden[a] && (other == "" || other == h); ok != (err == nil) {
					t.Fatalf("Claim(%s, %v) = %v, held by %q, forbidden %v", h, a, err, other, forbidden[a])
				}
				if err == nil {
					model[h] = a
				}
			},
			"release": func(t *rapid.T) {
				h := holders.Draw(t, "holder")
				p.Release(h)
				delete(model, h)
			},
			"": func(t *rapid.T) {
				if p.Held() != len(model) {
					t.Fatalf("Held() = %d, want %d", p.Held(), len(model))
				}
				for h, a := range model {
					if got, _ := p.Holder(a); got != h {
						t.Fatalf("%v is held by %q, want %q", a, got, h)
					}
				}
			},
		})
	})
}

// FuzzSubnet: no description makes a pool panic or give out what it must not.
func FuzzSubnet(f *testing.F) {
	f.Add("10.0.0.0/24", "10.0.0.1", "10.0.0.128/25", "10.0.0.9")
	f.Add("10.0.0.0/31", "", "", "")
	f.Add("fd00::/127", "fd00::1", "fd00::/128", "fd00::")
	f.Add("::ffff:10.0.0.0/120", "", "", "")
	f.Add("255.255.255.255/32", "255.255.255.255", "", "")
	f.Add("0.0.0.0/0", "", "", "")
	f.Fuzz(func(t *testing.T, cidr, gateway, within, reserved string) {
		var s ipam.Subnet
		s.CIDR, _ = netip.ParsePrefix(cidr)
		s.Gateway, _ = netip.ParseAddr(gateway)
		s.AllocationRange, _ = netip.ParsePrefix(within)
		if a, err := netip.ParseAddr(reserved); err == nil {
			s.Reserved = []netip.Addr{a}
		}
		p, err := ipam.NewPool(s)
		if err != nil {
			return
		}
		seen := map[netip.Addr]bool{}
		for i := range 20 {
			a, err := p.Allocate(fmt.Sprint(i))
			if err != nil {
				if uint64(i) != p.Size() {
					t.Fatalf("exhausted after %d of %d", i, p.Size())
				}
				return
			}
			if seen[a] || !s.CIDR.Contains(a) || a == p.Gateway() || len(s.Reserved) > 0 && a == s.Reserved[0] {
				t.Fatalf("gave out %v", a)
			}
			seen[a] = true
		}
	})
}

func BenchmarkAllocate65000(b *testing.B) {
	for b.Loop() {
		p := newPool(b, "10.0.0.0/16", "", "")
		for i := range 65000 {
			if _, err := p.Allocate(fmt.Sprint(i)); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkChurnFull releases and allocates in a pool that is full but for one.
func BenchmarkChurnFull(b *testing.B) {
	p := newPool(b, "10.0.0.0/16", "", "")
	for i := range int(p.Size()) {
		_, _ = p.Allocate(fmt.Sprint(i))
	}
	for i := 0; b.Loop(); i++ {
		h := fmt.Sprint(i % int(p.Size()))
		p.Release(h)
		if _, err := p.Allocate(h); err != nil {
			b.Fatal(err)
		}
	}
}
