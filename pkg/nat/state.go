// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"net/netip"
	"strings"
)

// State is what the table should do.
type State struct {
	// Masqueraded subnets reach the world behind the host's address.
	Masqueraded []netip.Prefix
	// Routed subnets reach the world, and the world them, with their own addresses.
	Routed []netip.Prefix
	// Closed subnets open no connection to the world. Ports of theirs can be published.
	Closed []netip.Prefix
	// Isolated subnets have no way out or in. Nothing in the table lets them
	// pass, and connections of theirs from other times are cut.
	Isolated []netip.Prefix
	// Ports are published on the host.
	Ports []Port
}

// Protocol is an IP protocol that has ports.
type Protocol uint8

// The protocols of published ports.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	}
	return "unknown"
}

// Port is a range of the host's ports that leads to an endpoint.
type Port struct {
	Protocol Protocol
	// Listen is the host's address. The unspecified address of a family stands
	// for all of the host's addresses of that family.
	Listen netip.Addr
	// First and Last are the host's ports.
	First, Last uint16
	// Target is the endpoint's address and the port that First leads to. It is
	// of the same family as Listen.
	Target netip.AddrPort
}

// content is what the sets and maps of the table hold: by the set's name, and
// in it by the element's key as the kernel has it. The value is that of a map's
// element, and for an interval its end.
type content map[string]map[string]string

// contentOf turns a state into elements. Of two ports for one key the first in
// the list gets it.
func contentOf(s State) content {
	c := content{}
	for _, f := range families {
		c[f.subnets], c[f.masqueraded], c[f.routed] = map[string]string{}, map[string]string{}, map[string]string{}
		c[f.everywhere], c[f.somewhere], c[f.quiet] = map[string]string{}, map[string]string{}, map[string]string{}
	}
	for _, p := range s.Masqueraded {
		f := familyOf(p.Addr())
		addInterval(c[f.masqueraded], p)
		addInterval(c[f.subnets], p)
	}
	for _, p := range s.Routed {
		f := familyOf(p.Addr())
		addInterval(c[f.routed], p)
		addInterval(c[f.subnets], p)
	}
	for _, p := range s.Closed {
		addInterval(c[familyOf(p.Addr()).subnets], p)
	}
	for _, p := range s.Ports {
		f := familyOf(p.Listen)
		elements := c[f.somewhere]
		if p.Listen.IsUnspecified() {
			elements = c[f.everywhere]
		}
		for n := 0; n <= int(p.Last)-int(p.First); n++ {
			key := portKey(p.Protocol, p.Listen, p.First+uint16(n))
			if _, taken := elements[key]; !taken {
				elements[key] = portValue(netip.AddrPortFrom(p.Target.Addr(), p.Target.Port()+uint16(n)))
			}
		}
	}
	return c
}

// addInterval enters a range: from its first address to the one after its last.
func addInterval(to map[string]string, p netip.Prefix) {
	first := p.Masked().Addr().AsSlice()
	end := append([]byte(nil), first...)
	for bit := p.Bits(); bit < len(end)*8; bit++ {
		end[bit/8] |= 1 << (7 - bit%8)
	}
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			to[string(first)] = string(end)
			return
		}
	}
	to[string(first)] = "" // its last address is the last of all
}

// portKey is the key of an element: address, protocol and port, or without the
// address where it stands for all. Each part is padded to four bytes.
func portKey(p Protocol, listen netip.Addr, port uint16) string {
	var b []byte
	if !listen.IsUnspecified() {
		b = append(b, listen.AsSlice()...)
	}
	b = append(b, byte(p), 0, 0, 0)
	return string(append(b, byte(port>>8), byte(port), 0, 0))
}

func portValue(a netip.AddrPort) string {
	return string(append(a.Addr().AsSlice(), byte(a.Port()>>8), byte(a.Port()), 0, 0))
}

// targetOfValue reads what portValue made.
func targetOfValue(value string) netip.AddrPort {
	b := []byte(value)
	n := len(b) - 4
	a, _ := netip.AddrFromSlice(b[:n])
	return netip.AddrPortFrom(a, uint16(b[n])<<8|uint16(b[n+1]))
}

// nameKey is the key of an interface in a set.
func nameKey(name string) string {
	b := make([]byte, 16)
	copy(b, name)
	return string(b)
}

// keyName reads what nameKey made.
func keyName(key string) string { return strings.TrimRight(key, "\x00") }
