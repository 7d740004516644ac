// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"math"
	"net/netip"
)

// maxReleased is how many released addresses are remembered before Allocate
// gives out the one released first, though there are some that nobody ever had.
// Without it a network whose containers come and go for years would remember
// each address of its /8 or /64.
const maxReleased = 1 << 16

// Pool hands out the addresses of one subnet. Addresses that nobody ever had
// come first, in ascending order; released ones come last, in the order of
// their release, so that an address does not come back while somebody's ARP
// cache or connection still remembers its former holder.
//
// Its memory is that of the most addresses that were in use at a time and of
// maxReleased others; a /8 or an IPv6 /64 costs nothing.
type Pool struct {
	subnet   Subnet
	reserved map[netip.Addr]bool

	// next is the first address that was never considered; invalid when the
	// range is through. last is the last of the range.
	next, last netip.Addr

	// size is how many addresses Allocate can give, and given how many of
	// those are held. Others can be held as well: static ones outside the
	// range, and ones that were reserved after they were given.
	size, given uint64

	byAddr   map[netip.Addr]string
	byHolder map[string]netip.Addr
	released queue
}

// NewPool returns a pool in which nothing is held. Its error is a *FieldError.
func NewPool(s Subnet) (*Pool, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if !s.Gateway.IsValid() {
		s.Gateway = DefaultGateway(s.CIDR)
	}
	if !s.AllocationRange.IsValid() {
		s.AllocationRange = s.CIDR
	}
	p := &Pool{
		subnet:   s,
		reserved: make(map[netip.Addr]bool, len(s.Reserved)),
		next:     s.AllocationRange.Addr(),
		last:     lastOf(s.AllocationRange),
		byAddr:   map[netip.Addr]string{},
		byHolder: map[string]netip.Addr{},
	}
	for _, a := range s.Reserved {
		p.reserved[a] = true
	}
	p.size = p.count()
	return p, nil
}

// CIDR is the pool's subnet.
func (p *Pool) CIDR() netip.Prefix { return p.subnet.CIDR }

// Gateway is the network's own address.
func (p *Pool) Gateway() netip.Addr { return p.subnet.Gateway }

// Allocate gives an address to a holder: the one that it has, or a free one of
// the allocation range. Its error is an *ExhaustedError.
func (p *Pool) Allocate(holder string) (netip.Addr, error) {
	if a, ok := p.byHolder[holder]; ok {
		return a, nil
	}
	a, ok := p.free()
	if !ok {
		return netip.Addr{}, &ExhaustedError{Range: p.subnet.AllocationRange, Held: int(p.given)}
	}
	p.enter(holder, a)
	return a, nil
}

// free finds the address whose turn it is.
func (p *Pool) free() (netip.Addr, bool) {
	if p.released.len() >= maxReleased {
		return p.released.pop()
	}
	for p.next.IsValid() {
		a := p.next
		if a == p.last {
			p.next = netip.Addr{}
		} else {
			p.next = a.Next()
		}
		if _, held := p.byAddr[a]; !held && p.unusable(a) == "" && !p.released.has(a) {
			return a, true
		}
	}
	return p.released.pop()
}

// Claim gives a certain address to a holder, which gives up the one that it
// has. The address may lie outside the allocation range. The errors are
// *TakenError and *UnusableError; nothing is changed then.
func (p *Pool) Claim(holder string, a netip.Addr) error {
	return p.claim(holder, a.Unmap(), false)
}

// Restore is Claim for an address that the holder has had since before the
// pool was made: it may be reserved by now.
func (p *Pool) Restore(holder string, a netip.Addr) error {
	return p.claim(holder, a.Unmap(), true)
}

func (p *Pool) claim(holder string, a netip.Addr, hadIt bool) error {
	if other, held := p.byAddr[a]; held {
		if other == holder {
			return nil
		}
		return &TakenError{Addr: a, Holder: other}
	}
	if why := p.unusable(a); why != "" && !(hadIt && why == "reserved") {
		return &UnusableError{Addr: a, CIDR: p.subnet.CIDR, Why: why}
	}
	p.Release(holder)
	p.enter(holder, a)
	return nil
}

func (p *Pool) enter(holder string, a netip.Addr) {
	p.released.remove(a)
	p.byAddr[a] = holder
	p.byHolder[holder] = a
	if p.gives(a) {
		p.given++
	}
}

// Release takes a holder's address back. None is no error.
func (p *Pool) Release(holder string) {
	a, ok := p.byHolder[holder]
	if !ok {
		return
	}
	delete(p.byHolder, holder)
	delete(p.byAddr, a)
	if !p.gives(a) {
		return
	}
	p.given--
	// What free has passed would be lost if it were not remembered. What is
	// still in front of it is found again anyhow, only sooner: static addresses
	// that come and go without an Allocate are forgotten beyond the bound.
	if passed := !p.next.IsValid() || a.Less(p.next); passed || p.released.len() < maxReleased {
		p.released.push(a)
	}
}

// Holder tells who holds an address.
func (p *Pool) Holder(a netip.Addr) (string, bool) {
	holder, ok := p.byAddr[a.Unmap()]
	return holder, ok
}

// Held is the number of addresses that are held.
func (p *Pool) Held() int { return len(p.byAddr) }

// Size is the number of addresses that Allocate could give out of an empty
// pool; math.MaxUint64 stands for that and more.
func (p *Pool) Size() uint64 { return p.size }

// Free is the number of addresses that Allocate can still give out, exact
// where Size is.
func (p *Pool) Free() uint64 { return p.size - p.given }

// count finds the pool's size: the range without what is in it but unusable.
func (p *Pool) count() uint64 {
	bits := p.last.BitLen() - p.subnet.AllocationRange.Bits()
	if bits >= 64 {
		return math.MaxUint64
	}
	size := uint64(1) << bits
	excluded := map[netip.Addr]bool{p.subnet.Gateway: true, p.subnet.CIDR.Addr(): true, lastOf(p.subnet.CIDR): true}
	for a := range p.reserved {
		excluded[a] = true
	}
	for a := range excluded {
		if p.subnet.AllocationRange.Contains(a) && p.unusable(a) != "" {
			size--
		}
	}
	return size
}

// gives tells whether an address is one of those that Allocate gives.
func (p *Pool) gives(a netip.Addr) bool {
	return p.subnet.AllocationRange.Contains(a) && p.unusable(a) == ""
}

// unusable tells why an address can never be given out; empty if it can.
func (p *Pool) unusable(a netip.Addr) string {
	switch {
	case !p.subnet.CIDR.Contains(a):
		return "outside"
	case a == p.subnet.Gateway:
		return "gateway"
	case p.reserved[a]:
		return "reserved"
	}
	return special(p.subnet.CIDR, a)
}
