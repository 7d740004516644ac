// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"net/netip"
	"strings"
)

// Target is a host of the world, and how it is asked.
type Target struct {
	// Addr is the host's address.
	Addr netip.Addr
	// Port of TCP, or 0 for an ICMP echo request.
	Port uint16
}

// ParseTarget reads icmp://ADDRESS and tcp://ADDRESS:PORT. Names are not
// allowed: a name server that does not answer would look like a lost uplink.
func ParseTarget(s string) (Target, error) {
	wrong := func(why string) (Target, error) {
		return Target{}, fmt.Errorf("%q: %s: must be icmp://ADDRESS or tcp://ADDRESS:PORT with an IP address of the world, for example icmp://192.0.2.1 or tcp://[2001:db8::1]:443", s, why)
	}
	scheme, rest, _ := strings.Cut(s, "://")
	var t Target
	switch scheme {
	case "icmp":
		a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(rest, "["), "]"))
		if err != nil {
			return wrong("no IP address")
		}
		t.Addr = a.Unmap()
	case "tcp":
		ap, err := netip.ParseAddrPort(rest)
		if err != nil || ap.Port() == 0 {
			return wrong("no IP address with a port")
		}
		t.Addr, t.Port = ap.Addr().Unmap(), ap.Port()
	default:
		return wrong("unknown scheme")
	}
	if t.Addr.IsLoopback() || t.Addr.IsUnspecified() || t.Addr.IsMulticast() {
		return wrong(t.Addr.String() + " is not a host of the world")
	}
	return t, nil
}

func (t Target) String() string {
	switch {
	case t.Port != 0:
		return "tcp://" + netip.AddrPortFrom(t.Addr, t.Port).String()
	case t.Addr.Is6():
		return "icmp://[" + t.Addr.String() + "]"
	}
	return "icmp://" + t.Addr.String()
}
