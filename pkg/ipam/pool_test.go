// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"testing"

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
	if err := p.Claim("c", netip.MustParseAddr("::ffff:10.0.0.6")); !errors.As(err, &taken) || taken.Holder != "a" {
		t.Errorf("another form of an address that is held: got %v", err)
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

// TestRestore: what a holder has had stays, though it is reserved by now; what
// somebody else has, and what was never anybody's, does not become its.
func TestRestore(t *testing.T) {
	p := newPool(t, "10.0.0.0/29", "", "", "10.0.0.3")
	if err := p.Restore("old", netip.MustParseAddr("10.0.0.3")); err != nil {
		t.Fatal(err)
	}
	if a, err := p.Allocate("old"); err != nil || a.String() != "10.0.0.3" {
		t.Errorf("got %v, %v", a, err)
	}
	if p.Free() != p.Size() {
		t.Errorf("a reserved address counts as given: %d of %d are free", p.Free(), p.Size())
	}
	var taken *ipam.TakenError
	if err := p.Restore("new", netip.MustParseAddr("10.0.0.3")); !errors.As(err, &taken) || taken.Holder != "old" {
		t.Errorf("restoring what old has: got %v", err)
	}
	if err := p.Restore("new", netip.MustParseAddr("::ffff:10.0.0.3")); !errors.As(err, &taken) {
		t.Errorf("restoring it in another form: got %v", err)
	}
	for addr, why := range map[string]string{"10.0.0.0": "network", "10.0.0.7": "broadcast", "10.0.0.1": "gateway", "10.0.0.8": "outside"} {
		var unusable *ipam.UnusableError
		if err := p.Restore("new", netip.MustParseAddr(addr)); !errors.As(err, &unusable) || unusable.Why != why {
			t.Errorf("Restore(%s): got %v, want %s", addr, err, why)
		}
	}
	p.Release("old")
	for range p.Size() {
		if a, err := p.Allocate(fmt.Sprint(p.Held())); err != nil || a.String() == "10.0.0.3" {
			t.Errorf("got %v, %v", a, err)
		}
	}
	if a, err := p.Allocate("one too many"); err == nil {
		t.Errorf("full pool: got %v", a)
	}
}

// TestExhaustedCount: static addresses outside the range are none of its.
func TestExhaustedCount(t *testing.T) {
	p := newPool(t, "10.0.0.0/24", "", "10.0.0.4/31")
	for i := range 10 {
		if err := p.Claim(fmt.Sprint("static ", i), netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + i)})); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = p.Allocate("a")
	_, _ = p.Allocate("b")
	_, err := p.Allocate("c")
	if want := "no address is free in 10.0.0.4/31, 2 are held"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestSize: what is too large to count is the largest number, and what is not
// is exact.
func TestSize(t *testing.T) {
	for cidr, want := range map[string]uint64{
		"10.0.0.0/8": 1<<24 - 3, "0.0.0.0/0": 1<<32 - 3, "fd00::/65": 1<<63 - 2, "fd00::/64": math.MaxUint64, "fd00::/16": math.MaxUint64,
	} {
		p := newPool(t, cidr, "", "")
		if p.Size() != want || p.Free() != want {
			t.Errorf("%s: Size, Free = %d, %d, want %d", cidr, p.Size(), p.Free(), want)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct{ cidr, gateway, within, reserved, field, allowed string }{
		{cidr: "10.0.0.0/24"},
		{cidr: "fd00::/64", gateway: "fd00::ff", within: "fd00::1:0/112", reserved: "fd00::"},
		// Nothing but the network address: no error, and nothing to give.
		{cidr: "10.0.0.0/24", within: "10.0.0.0/32"},
		{cidr: "", field: "cidr", allowed: "must be a range in CIDR form, such as 10.88.0.0/24"},
		{cidr: "10.0.0.5/24", field: "cidr", allowed: "must be a range without host bits, such as 10.0.0.0/24"},
		{cidr: "::ffff:10.0.0.0/120", field: "cidr", allowed: "must be a plain IPv4 or IPv6 range"},
		{cidr: "10.0.0.0/24", gateway: "10.0.1.1", field: "gateway", allowed: "must be inside 10.0.0.0/24"},
		{cidr: "10.0.0.0/24", gateway: "fd00::1", field: "gateway", allowed: "must be inside 10.0.0.0/24"},
		{cidr: "10.0.0.0/24", gateway: "10.0.0.0", field: "gateway", allowed: "must not be the network address of 10.0.0.0/24"},
		{cidr: "10.0.0.0/24", gateway: "10.0.0.255", field: "gateway", allowed: "must not be the broadcast address of 10.0.0.0/24"},
		{cidr: "10.0.0.0/23", gateway: "10.0.0.255"},
		{cidr: "10.0.0.0/31", gateway: "10.0.0.0"},
		{cidr: "fd00::/64", gateway: "fd00::", field: "gateway", allowed: "must not be the network address of fd00::/64"},
		{cidr: "fd00::/64", gateway: "fd00::ffff:ffff:ffff:ffff"},
		{cidr: "fd00::/127", gateway: "fd00::"},
		{cidr: "10.0.0.0/24", within: "10.0.0.9/28", field: "allocationRange", allowed: "must be a range without host bits, such as 10.0.0.0/28"},
		{cidr: "10.0.0.0/24", within: "10.0.1.0/28", field: "allocationRange", allowed: "must be inside 10.0.0.0/24"},
		{cidr: "10.0.0.0/24", within: "10.0.0.0/23", field: "allocationRange", allowed: "must be inside 10.0.0.0/24"},
		{cidr: "10.0.0.0/24", within: "fd00::/64", field: "allocationRange", allowed: "must be inside 10.0.0.0/24"},
		{cidr: "10.0.0.0/24", reserved: "10.0.1.1", field: "reserved", allowed: "must be inside 10.0.0.0/24"},
	} {
		t.Run(fmt.Sprint(c.cidr, c.gateway, c.within, c.reserved), func(t *testing.T) {
			var s ipam.Subnet
			s.CIDR, _ = netip.ParsePrefix(c.cidr)
			s.Gateway, _ = netip.ParseAddr(c.gateway)
			s.AllocationRange, _ = netip.ParsePrefix(c.within)
			if c.reserved != "" {
				s.Reserved = []netip.Addr{netip.MustParseAddr(c.reserved)}
			}
			_, err := ipam.NewPool(s)
			var field *ipam.FieldError
			switch {
			case c.field == "" && err != nil:
				t.Error(err)
			case c.field != "" && (!errors.As(err, &field) || field.Field != c.field || field.Allowed != c.allowed):
				t.Errorf("got %v, want %s: %s", err, c.field, c.allowed)
			}
		})
	}
}
