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

// model is a pool as one would write it without thinking of time or memory: it
// looks at every address of the subnet each time.
type model struct {
	pool     *ipam.Pool
	all      []netip.Addr
	bad      map[netip.Addr]string // why it can never be given
	inRange  func(netip.Addr) bool
	holders  map[netip.Addr]string
	released []netip.Addr // in order of release
}

// newModel puts a pool and its model side by side; nil where the subnet is refused.
func newModel(s ipam.Subnet) *model {
	pool, err := ipam.NewPool(s)
	if err != nil {
		return nil
	}
	m := &model{pool: pool, bad: map[netip.Addr]string{}, holders: map[netip.Addr]string{}, inRange: s.CIDR.Contains}
	if s.AllocationRange.IsValid() {
		m.inRange = s.AllocationRange.Contains
	}
	for a := s.CIDR.Addr(); s.CIDR.Contains(a); a = a.Next() {
		m.all = append(m.all, a)
	}
	if last := len(m.all) - 1; last > 1 {
		m.bad[m.all[0]] = "network"
		if m.all[0].Is4() {
			m.bad[m.all[last]] = "broadcast"
		}
	}
	for _, a := range s.Reserved {
		m.bad[a] = "reserved"
	}
	gateway := s.Gateway
	if !gateway.IsValid() {
		gateway = m.all[0]
		if len(m.all) > 2 {
			gateway = m.all[1]
		}
	}
	m.bad[gateway] = "gateway"
	return m
}

func (m *model) addrOf(holder string) (netip.Addr, bool) {
	for a, h := range m.holders {
		if h == holder {
			return a, true
		}
	}
	return netip.Addr{}, false
}

func (m *model) release(holder string) {
	a, ok := m.addrOf(holder)
	if !ok {
		return
	}
	delete(m.holders, a)
	if m.inRange(a) && m.bad[a] == "" {
		m.released = append(m.released, a)
	}
}

func (m *model) enter(holder string, a netip.Addr) {
	m.release(holder)
	for i, r := range m.released {
		if r == a {
			m.released = append(m.released[:i:i], m.released[i+1:]...)
			break
		}
	}
	m.holders[a] = holder
}

// next is the address whose turn it is: the lowest that nobody ever had, or
// else the one released first.
func (m *model) next() (netip.Addr, bool) {
	was := map[netip.Addr]bool{}
	for _, r := range m.released {
		was[r] = true
	}
	for _, a := range m.all {
		if m.inRange(a) && m.bad[a] == "" && m.holders[a] == "" && !was[a] {
			return a, true
		}
	}
	if len(m.released) > 0 {
		return m.released[0], true
	}
	return netip.Addr{}, false
}

// step does one operation on both sides and compares what comes of it.
func (m *model) step(op byte, holder string, addr netip.Addr) error {
	switch op % 4 {
	case 0:
		want, ok := m.addrOf(holder)
		if !ok {
			want, ok = m.next()
		}
		got, err := m.pool.Allocate(holder)
		var exhausted *ipam.ExhaustedError
		if !ok && !errors.As(err, &exhausted) {
			return fmt.Errorf("Allocate(%s) of a full pool = %v, %v", holder, got, err)
		}
		if ok && (err != nil || got != want) {
			return fmt.Errorf("Allocate(%s) = %v, %v, want %v", holder, got, err, want)
		}
		if ok {
			if has, held := m.addrOf(holder); !held || has != want {
				m.enter(holder, want)
			}
		}
	case 1, 2:
		claim, restore := m.pool.Claim, op%4 == 2
		if restore {
			claim = m.pool.Restore
		}
		err := claim(holder, addr)
		other, why := m.holders[addr], m.bad[addr]
		if restore && why == "reserved" {
			why = ""
		}
		var (
			taken    *ipam.TakenError
			unusable *ipam.UnusableError
		)
		switch {
		case other == holder:
			if err != nil {
				return fmt.Errorf("Claim(%s, %v) of its own = %v", holder, addr, err)
			}
		case other != "":
			if !errors.As(err, &taken) || taken.Holder != other || taken.Addr != addr {
				return fmt.Errorf("Claim(%s, %v) = %v, want held by %s", holder, addr, err, other)
			}
		case why != "":
			if !errors.As(err, &unusable) || unusable.Why != why || unusable.Addr != addr {
				return fmt.Errorf("Claim(%s, %v) = %v, want %s", holder, addr, err, why)
			}
		case err != nil:
			return fmt.Errorf("Claim(%s, %v) = %v", holder, addr, err)
		default:
			m.enter(holder, addr)
		}
	case 3:
		m.pool.Release(holder)
		m.release(holder)
	}
	return m.same()
}

// same compares everything that a pool tells about itself.
func (m *model) same() error {
	var size, given uint64
	for _, a := range m.all {
		got, held := m.pool.Holder(a)
		if got != m.holders[a] || held != (m.holders[a] != "") {
			return fmt.Errorf("%v is held by %q (%v), want %q", a, got, held, m.holders[a])
		}
		if m.inRange(a) && m.bad[a] == "" {
			size++
			if held {
				given++
			}
		}
	}
	if m.pool.Size() != size || m.pool.Free() != size-given || m.pool.Held() != len(m.holders) {
		return fmt.Errorf("Size, Free, Held = %d, %d, %d, want %d, %d, %d",
			m.pool.Size(), m.pool.Free(), m.pool.Held(), size, size-given, len(m.holders))
	}
	return nil
}

var smallSubnets = []string{
	"10.0.0.0/28", "10.0.0.240/29", "10.0.0.0/30", "10.0.0.0/31", "10.0.0.0/32", "255.255.255.248/29",
	"fd00::/124", "fd00::/126", "fd00::/127", "fd00::/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff8/125",
}

// TestPoolProperties runs random operations beside the model.
func TestPoolProperties(t *testing.T) {
	holders := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"})
	rapid.Check(t, func(t *rapid.T) {
		s := ipam.Subnet{CIDR: netip.MustParsePrefix(rapid.SampledFrom(smallSubnets).Draw(t, "cidr"))}
		var all []netip.Addr
		for a := s.CIDR.Addr(); s.CIDR.Contains(a); a = a.Next() {
			all = append(all, a)
		}
		addr := rapid.SampledFrom(all)
		s.Reserved = rapid.SliceOfN(addr, 0, 2).Draw(t, "reserved")
		if rapid.Bool().Draw(t, "with gateway") {
			s.Gateway = addr.Draw(t, "gateway")
		}
		if rapid.Bool().Draw(t, "with range") {
			bits := rapid.IntRange(s.CIDR.Bits(), s.CIDR.Addr().BitLen()).Draw(t, "bits")
			s.AllocationRange = netip.PrefixFrom(addr.Draw(t, "range"), bits).Masked()
		}
		m := newModel(s)
		if m == nil {
			return // the gateway is special
		}
		step := func(op byte) func(*rapid.T) {
			return func(t *rapid.T) {
				if err := m.step(op, holders.Draw(t, "holder"), addr.Draw(t, "addr")); err != nil {
					t.Fatal(err)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){"allocate": step(0), "claim": step(1), "restore": step(2), "release": step(3)})
	})
}

// FuzzPool does what the bytes say beside the model: which subnet, its range,
// gateway and reserved address, and then three bytes an operation.
func FuzzPool(f *testing.F) {
	allocate, claim, restore, release := byte(0), byte(1), byte(2), byte(3)
	// A /29: .2 .3 .4, two of them released, and all that is left.
	f.Add([]byte{1, 0, 0, 0, allocate, 0, 0, allocate, 1, 0, allocate, 2, 0, release, 1, 0, release, 0, 0,
		allocate, 3, 0, allocate, 4, 0, allocate, 5, 0, allocate, 6, 0, allocate, 7, 0})
	// What one has is restored to another.
	f.Add([]byte{1, 0, 0, 0, allocate, 0, 0, restore, 1, 2, release, 0, 0, allocate, 2, 0, allocate, 3, 0})
	// Released in front of what was considered, then passed.
	f.Add([]byte{0, 0, 0, 0, claim, 0, 3, release, 0, 0, allocate, 1, 0, allocate, 2, 0, claim, 3, 3, release, 3, 0, allocate, 4, 0})
	// A reserved address is restored, given up and never given.
	f.Add([]byte{2, 0, 0, 3, restore, 0, 2, release, 0, 0, allocate, 1, 0, allocate, 2, 0})
	// A range of one address, a static one outside, exhaustion.
	f.Add([]byte{0, 0x45, 0, 0, claim, 0, 9, allocate, 1, 0, allocate, 2, 0, release, 0, 0, allocate, 2, 0})
	// The last address that there is.
	f.Add([]byte{10, 0, 0, 0, allocate, 0, 0, claim, 1, 7, release, 1, 0, allocate, 2, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) < 4 || len(script) > 1024 {
			return
		}
		s := ipam.Subnet{CIDR: netip.MustParsePrefix(smallSubnets[int(script[0])%len(smallSubnets)])}
		var all []netip.Addr
		for a := s.CIDR.Addr(); s.CIDR.Contains(a); a = a.Next() {
			all = append(all, a)
		}
		pick := func(b byte) netip.Addr { return all[int(b)%len(all)] }
		if r := script[1]; r != 0 {
			host := s.CIDR.Addr().BitLen() - s.CIDR.Bits()
			s.AllocationRange = netip.PrefixFrom(pick(r&0x0f), s.CIDR.Bits()+int(r>>4)%(host+1)).Masked()
		}
		if script[2] != 0 {
			s.Gateway = pick(script[2])
		}
		if script[3] != 0 {
			s.Reserved = []netip.Addr{pick(script[3] - 1)}
		}
		m := newModel(s)
		if m == nil {
			return
		}
		for rest := script[4:]; len(rest) >= 3; rest = rest[3:] {
			if err := m.step(rest[0], string('a'+rune(rest[1]%20)), pick(rest[2])); err != nil {
				t.Fatal(err)
			}
		}
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
