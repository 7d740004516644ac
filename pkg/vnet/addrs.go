// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ifaProto is IFA_PROTO: who an address comes from (Linux 5.18; older kernels
// ignore it, and then only addresses of this process's life count as ours).
const ifaProto = 11

// addr is an address on a link.
type addr struct {
	prefix netip.Prefix
	flags  uint32
	proto  uint8
	scope  uint8
}

// planAddrs compares the addresses of a link with those wanted. Only addresses
// that carry our mark, or that we put there before, are ever removed.
func planAddrs(have []addr, want, before []netip.Prefix) (del []addr, add []netip.Prefix) {
	for _, w := range want {
		if !slices.ContainsFunc(have, func(h addr) bool { return h.prefix == w }) && !slices.Contains(add, w) {
			add = append(add, w)
		}
	}
	for _, h := range have {
		ours := h.proto == originProto || slices.Contains(before, h.prefix)
		if ours && !slices.Contains(want, h.prefix) {
			del = append(del, h)
		}
	}
	return del, add
}

// syncAddrs makes the link have the wanted addresses and reports whether it
// changed any.
func (c *conn) syncAddrs(index int, want, before []netip.Prefix) (changed bool, err error) {
	have, err := c.addrs(index)
	if err != nil {
		return false, err
	}
	del, add := planAddrs(have, want, before)
	for _, a := range del {
		if err := c.delAddr(index, a); err != nil {
			return true, err
		}
	}
	if len(del) != 0 {
		// With an IPv4 address the kernel removes all others of its subnet:
		// put back those of others.
		now, err := c.addrs(index)
		if err != nil {
			return true, err
		}
		_, add = planAddrs(now, want, nil)
		for _, a := range have {
			if slices.Contains(del, a) || slices.Contains(want, a.prefix) ||
				slices.ContainsFunc(now, func(n addr) bool { return n.prefix == a.prefix }) {
				continue
			}
			if err := c.addAddr(index, a); err != nil {
				return true, err
			}
		}
	}
	for _, p := range add {
		if err := c.addAddr(index, ourAddr(p)); err != nil {
			return true, err
		}
	}
	return len(del)+len(add) != 0, nil
}

// ourAddr is an address as we put it: usable at once, without duplicate address
// detection, since nobody else is given it.
func ourAddr(p netip.Prefix) addr {
	a := addr{prefix: p, proto: originProto}
	if p.Addr().Is6() {
		a.flags = unix.IFA_F_NODAD
	} else if p.Addr().IsLinkLocalUnicast() {
		a.scope = unix.RT_SCOPE_LINK // never the source of what is sent further
	}
	return a
}

func (c *conn) addAddr(index int, a addr) error {
	ip := a.prefix.Addr()
	req := c.request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK, addrMsg(index, a),
		nl.NewRtAttr(unix.IFA_LOCAL, ip.AsSlice()), nl.NewRtAttr(unix.IFA_ADDRESS, ip.AsSlice()),
		nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(a.flags&^unix.IFA_F_SECONDARY)))
	if ip.Is4() && a.prefix.Bits() < 31 {
		req.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, lastAddr(a.prefix).AsSlice()))
	}
	if a.proto != 0 {
		req.AddData(nl.NewRtAttr(ifaProto, nl.Uint8Attr(a.proto)))
	}
	_, err := c.do(req)
	if errors.Is(err, unix.EACCES) && ip.Is6() {
		return fmt.Errorf("adding address %s: IPv6 is disabled in the network namespace (net.ipv6.conf.*.disable_ipv6): %w", a.prefix, err)
	}
	if err != nil {
		return fmt.Errorf("adding address %s: %w", a.prefix, err)
	}
	return nil
}

func (c *conn) delAddr(index int, a addr) error {
	req := c.request(unix.RTM_DELADDR, unix.NLM_F_ACK, addrMsg(index, a),
		nl.NewRtAttr(unix.IFA_LOCAL, a.prefix.Addr().AsSlice()), nl.NewRtAttr(unix.IFA_ADDRESS, a.prefix.Addr().AsSlice()))
	if _, err := c.do(req); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("removing address %s: %w", a.prefix, err)
	}
	return nil
}

func addrMsg(index int, a addr) *nl.IfAddrmsg {
	msg := nl.NewIfAddrmsg(family(a.prefix.Addr()))
	msg.Index = uint32(index)
	msg.Prefixlen = uint8(a.prefix.Bits())
	msg.Scope = a.scope
	return msg
}

func family(ip netip.Addr) int {
	if ip.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// lastAddr is the broadcast address of an IPv4 subnet.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// addrs are the addresses of a link.
func (c *conn) addrs(index int) ([]addr, error) {
	msgs, err := c.dump(unix.RTM_GETADDR, unix.RTM_NEWADDR, nl.NewIfAddrmsg(unix.AF_UNSPEC))
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	var out []addr
	for _, m := range msgs {
		msg := nl.DeserializeIfAddrmsg(m)
		if int(msg.Index) != index {
			continue
		}
		attrs, err := nl.ParseRouteAttr(m[msg.Len():])
		if err != nil {
			return nil, fmt.Errorf("listing addresses: %w", err)
		}
		a := addr{flags: uint32(msg.Flags), scope: msg.Scope}
		var ip netip.Addr
		for _, at := range attrs {
			switch at.Attr.Type {
			case unix.IFA_LOCAL:
				ip, _ = netip.AddrFromSlice(at.Value)
			case unix.IFA_ADDRESS:
				if !ip.IsValid() {
					ip, _ = netip.AddrFromSlice(at.Value)
				}
			case unix.IFA_FLAGS:
				a.flags = nl.NativeEndian().Uint32(at.Value)
			case ifaProto:
				a.proto = at.Value[0]
			}
		}
		if ip.IsValid() {
			a.prefix = netip.PrefixFrom(ip, int(msg.Prefixlen))
			out = append(out, a)
		}
	}
	return out, nil
}
