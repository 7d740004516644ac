// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"net/netip"
)

// Subnet describes one subnet of a network.
type Subnet struct {
	// CIDR is the range, without host bits.
	CIDR netip.Prefix
	// Gateway is held by the network itself. Default: the first address.
	Gateway netip.Addr
	// AllocationRange is the part of CIDR that Allocate gives from. Default: all of it.
	AllocationRange netip.Prefix
	// Reserved addresses are never given out.
	Reserved []netip.Addr
}

// Validate returns a *FieldError where the description contradicts itself.
func (s Subnet) Validate() error {
	if !s.CIDR.IsValid() {
		return &FieldError{"cidr", s.CIDR.String(), "must be a range in CIDR form, such as 10.88.0.0/24"}
	}
	if s.CIDR.Masked() != s.CIDR {
		return &FieldError{"cidr", s.CIDR.String(), "must be a range without host bits, such as " + s.CIDR.Masked().String()}
	}
	if s.CIDR.Addr().Is4In6() || s.CIDR.Addr().Zone() != "" {
		return &FieldError{"cidr", s.CIDR.String(), "must be a plain IPv4 or IPv6 range"}
	}
	if s.Gateway.IsValid() {
		if !s.CIDR.Contains(s.Gateway) {
			return &FieldError{"gateway", s.Gateway.String(), "must be inside " + s.CIDR.String()}
		}
		if why := special(s.CIDR, s.Gateway); why != "" {
			return &FieldError{"gateway", s.Gateway.String(), "must not be the " + why + " address of " + s.CIDR.String()}
		}
	}
	if r := s.AllocationRange; r.IsValid() {
		if r.Masked() != r {
			return &FieldError{"allocationRange", r.String(), "must be a range without host bits, such as " + r.Masked().String()}
		}
		if r.Bits() < s.CIDR.Bits() || !s.CIDR.Contains(r.Addr()) {
			return &FieldError{"allocationRange", r.String(), "must be inside " + s.CIDR.String()}
		}
	}
	for _, a := range s.Reserved {
		if !s.CIDR.Contains(a) {
			return &FieldError{"reserved", a.String(), "must be inside " + s.CIDR.String()}
		}
	}
	return nil
}

// DefaultGateway is the first address of a range that a host can have.
func DefaultGateway(cidr netip.Prefix) netip.Addr {
	first := cidr.Masked().Addr()
	if special(cidr, first) != "" {
		return first.Next()
	}
	return first
}

// special tells whether an address of a range is its "network" or "broadcast"
// address. A range of two addresses or one has neither (RFC 3021, RFC 6164).
// For IPv6 the first is the subnet-router anycast address (RFC 4291, 2.6.1)
// and the last is like any other.
func special(cidr netip.Prefix, a netip.Addr) string {
	if cidr.Addr().BitLen()-cidr.Bits() <= 1 {
		return ""
	}
	switch {
	case a == cidr.Masked().Addr():
		return "network"
	case a.Is4() && a == lastOf(cidr):
		return "broadcast"
	}
	return ""
}

// lastOf is the last address of a range.
func lastOf(p netip.Prefix) netip.Addr {
	raw := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(raw)*8; bit++ {
		raw[bit/8] |= 1 << (7 - bit%8)
	}
	last, _ := netip.AddrFromSlice(raw)
	return last
}
