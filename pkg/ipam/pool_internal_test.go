// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"fmt"
	"net/netip"
	"testing"
)

// TestReleasedIsBounded: static addresses that come and go are not remembered
// without end, and none of them is lost for it.
func TestReleasedIsBounded(t *testing.T) {
	p, err := NewPool(Subnet{CIDR: netip.MustParsePrefix("10.0.0.0/14")})
	if err != nil {
		t.Fatal(err)
	}
	first := netip.MustParseAddr("10.0.0.2")
	for a := lastOf(p.CIDR()).Prev(); a != first.Prev(); a = a.Prev() {
		if err := p.Claim("x", a); err != nil {
			t.Fatal(err)
		}
		p.Release("x")
	}
	if n := p.released.len(); n > maxReleased {
		t.Errorf("%d released addresses are remembered", n)
	}
	if n := len(p.released.order); n > 2*maxReleased+64 {
		t.Errorf("their order takes %d entries", n)
	}
	seen := make(map[netip.Addr]bool, p.Size())
	for i := range p.Size() {
		a, err := p.Allocate(fmt.Sprint(i))
		if err != nil || seen[a] {
			t.Fatalf("allocation %d of %d: got %v, %v, given before: %v", i, p.Size(), a, err, seen[a])
		}
		seen[a] = true
	}
	if a, err := p.Allocate("one too many"); err == nil {
		t.Errorf("full pool: got %v", a)
	}
	// The bound is for what is found again anyhow. Now nothing is: all that is
	// released has to be remembered.
	for i := range p.Size() {
		p.Release(fmt.Sprint(i))
	}
	for i := range p.Size() {
		if a, err := p.Allocate(fmt.Sprint(i)); err != nil {
			t.Fatalf("allocation %d of %d after all were released: got %v, %v", i, p.Size(), a, err)
		}
	}
}

// TestChurnIsBounded: holders that come and go in a /64 reach the bound, and
// from then on the address that was released first comes back.
func TestChurnIsBounded(t *testing.T) {
	p, err := NewPool(Subnet{CIDR: netip.MustParsePrefix("fd00::/64")})
	if err != nil {
		t.Fatal(err)
	}
	first, _ := p.Allocate("x")
	p.Release("x")
	for i := 1; i < maxReleased; i++ {
		if a, err := p.Allocate("x"); err != nil || a == first {
			t.Fatalf("allocation %d: got %v, %v, before its turn", i, a, err)
		}
		p.Release("x")
	}
	if a, err := p.Allocate("x"); err != nil || a != first {
		t.Errorf("got %v, %v, want %v", a, err, first)
	}
	if n := len(p.released.order); n > 2*maxReleased+64 {
		t.Errorf("the order takes %d entries", n)
	}
}

// TestOrderIsBounded: one address that comes and goes leaves no trail.
func TestOrderIsBounded(t *testing.T) {
	p, err := NewPool(Subnet{CIDR: netip.MustParsePrefix("10.0.0.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if err := p.Claim("x", netip.MustParseAddr("10.0.0.9")); err != nil {
			t.Fatal(err)
		}
		p.Release("x")
	}
	if n := len(p.released.order); n > 2*p.released.len()+64 {
		t.Errorf("%d entries for %d released addresses", n, p.released.len())
	}
}
