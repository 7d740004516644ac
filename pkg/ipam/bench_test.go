// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/vas-solutus/arca-network/pkg/ipam"
)

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

// BenchmarkRebuild65000 enters what 65,000 holders had, in no order, as after
// a restart, and allocates for one more.
func BenchmarkRebuild65000(b *testing.B) {
	order := rand.New(rand.NewPCG(1, 2)).Perm(65000)
	addrs, holders := make([]netip.Addr, len(order)), make([]string, len(order))
	for i, n := range order {
		addrs[i], holders[i] = addr10(n+2), fmt.Sprint(n)
	}
	for b.Loop() {
		p := newPool(b, "10.0.0.0/16", "", "")
		for i := range addrs {
			if err := p.Claim(holders[i], addrs[i]); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := p.Allocate("one more"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNewPool64: an IPv6 /64 costs no more than a /30.
func BenchmarkNewPool64(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		p := newPool(b, "fd00::/64", "", "")
		if _, err := p.Allocate("a"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkExhausted asks a full pool.
func BenchmarkExhausted(b *testing.B) {
	p := newPool(b, "10.0.0.0/16", "", "")
	for i := range int(p.Size()) {
		_, _ = p.Allocate(fmt.Sprint(i))
	}
	for b.Loop() {
		if _, err := p.Allocate("one too many"); err == nil {
			b.Fatal("a full pool gave an address")
		}
	}
}

func BenchmarkOverlap(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			set := ipam.NewPrefixSet()
			for i := range n {
				set.Insert(netip.PrefixFrom(addr10(i<<8), 24), "n")
			}
			want := netip.PrefixFrom(addr10((n-1)<<8), 26)
			for b.Loop() {
				if _, overlaps := set.Overlap(want); !overlaps {
					b.Fatal("no overlap")
				}
			}
		})
	}
}

// BenchmarkPickSubnet chooses beside 1,000 networks and 1,000 routes.
func BenchmarkPickSubnet(b *testing.B) {
	var used []netip.Prefix
	for i := range 2000 {
		used = append(used, netip.PrefixFrom(addr10(i<<8), 24))
	}
	for b.Loop() {
		if _, err := ipam.PickSubnet("n", used); err != nil {
			b.Fatal(err)
		}
	}
}

// addr10 is the nth address of 10.0.0.0/8.
func addr10(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}
