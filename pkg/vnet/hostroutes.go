// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// HostRoutes returns the ranges that this host routes somewhere, without its
// default routes, host routes and those that are ours: no network may be given
// one of them.
func HostRoutes() ([]netip.Prefix, error) {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, r := range routes {
		if r.Dst == nil || r.Protocol == originProto {
			continue
		}
		addr, ok := netip.AddrFromSlice(r.Dst.IP)
		bits, _ := r.Dst.Mask.Size()
		if ok && bits > 0 && !addr.IsLinkLocalUnicast() && !addr.IsMulticast() {
			out = append(out, netip.PrefixFrom(addr.Unmap(), bits))
		}
	}
	return out, nil
}

// NamePrefix begins the names that are derived from an owner's UID.
const NamePrefix = "arca"
