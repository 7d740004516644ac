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

// ipv6DefaultMetric is what the kernel makes of no metric for IPv6.
const ipv6DefaultMetric = 1024

// route is a route of a namespace; ours says that it carries our mark.
type route struct {
	Route
	ours bool
}

// canonical gives routes that are the same to the kernel the same value.
func canonical(r Route) Route {
	r.Dst = r.Dst.Masked()
	if r.Dst.Addr().Is6() && r.Metric == 0 {
		r.Metric = ipv6DefaultMetric
	}
	return r
}

// planRoutes compares the routes of a link with those wanted. Routes of
// others are left alone; one of them to the same place on this link is replaced.
func planRoutes(have []route, want []Route) (del, add []Route) {
	held := make(map[route]bool, len(have)) // the uplink has a route for each subnet
	for _, h := range have {
		held[h] = true
	}
	wanted := make(map[Route]bool, len(want))
	for _, w := range want {
		if w = canonical(w); wanted[w] {
			continue
		}
		wanted[w] = true
		if !held[route{w, true}] {
			add = append(add, w)
		}
	}
	for _, h := range have {
		if h.ours && !wanted[h.Route] {
			del = append(del, h.Route)
		}
	}
	// On-link routes first: the next hops of others may need them.
	slices.SortStableFunc(add, func(a, b Route) int {
		switch {
		case a.Via.IsValid() == b.Via.IsValid():
			return 0
		case b.Via.IsValid():
			return -1
		default:
			return 1
		}
	})
	return del, add
}

// syncRoutes makes the link, which has those routes, have the wanted ones.
func (c *conn) syncRoutes(index int, have []route, want []Route) error {
	del, add := planRoutes(have, want)
	late := del[:0:0]
	for _, r := range del {
		// One that differs by its metric is there still while the new one is made.
		if !slices.ContainsFunc(add, func(a Route) bool { return a.Dst == r.Dst && a.Metric == r.Metric && a.Table == r.Table }) {
			late = append(late, r)
			continue
		}
		if err := c.delRoute(index, r); err != nil {
			return err
		}
	}
	for _, r := range add {
		// What is left there to the same place on this link is not ours.
		replace := slices.ContainsFunc(have, func(h route) bool {
			return !h.ours && h.Dst == r.Dst && h.Metric == r.Metric && h.Table == r.Table
		})
		if err := c.addRoute(index, r, replace); err != nil {
			return err
		}
	}
	for _, r := range late {
		if err := c.delRoute(index, r); err != nil {
			return err
		}
	}
	return nil
}

func routeAttrs(index int, r Route) []nl.NetlinkRequestData {
	out := []nl.NetlinkRequestData{nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index)))}
	if r.Dst.Bits() != 0 {
		out = append(out, nl.NewRtAttr(unix.RTA_DST, r.Dst.Masked().Addr().AsSlice()))
	}
	if r.Via.IsValid() {
		out = append(out, nl.NewRtAttr(unix.RTA_GATEWAY, r.Via.AsSlice()))
	}
	if r.Table != 0 {
		out = append(out, nl.NewRtAttr(unix.RTA_TABLE, nl.Uint32Attr(uint32(r.Table))))
	}
	if r.Metric != 0 {
		out = append(out, nl.NewRtAttr(unix.RTA_PRIORITY, nl.Uint32Attr(uint32(r.Metric))))
	}
	return out
}

// mtuAttr is a route's MTU, none for 0.
func mtuAttr(r Route) []nl.NetlinkRequestData {
	if r.MTU == 0 {
		return nil
	}
	metrics := nl.NewRtAttr(unix.RTA_METRICS, nil)
	metrics.AddRtAttr(unix.RTAX_MTU, nl.Uint32Attr(uint32(r.MTU)))
	return []nl.NetlinkRequestData{metrics}
}

// mtuOf reads what mtuAttr wrote.
func mtuOf(metrics []byte) (int, error) {
	attrs, err := nl.ParseRouteAttr(metrics)
	if err != nil {
		return 0, fmt.Errorf("listing routes: %w", err)
	}
	for _, at := range attrs {
		if at.Attr.Type == unix.RTAX_MTU {
			return int(nl.NativeEndian().Uint32(at.Value)), nil
		}
	}
	return 0, nil
}

func (c *conn) addRoute(index int, r Route, replace bool) error {
	msg := nl.NewRtMsg()
	msg.Family = uint8(family(r.Dst.Addr()))
	msg.Dst_len = uint8(r.Dst.Bits())
	msg.Protocol = originProto
	if r.Table != 0 {
		msg.Table = unix.RT_TABLE_UNSPEC
	}
	if !r.Via.IsValid() && r.Dst.Addr().Is4() {
		msg.Scope = unix.RT_SCOPE_LINK
	}
	// Replacing would take the route of another interface too.
	how := unix.NLM_F_EXCL
	if replace {
		how = unix.NLM_F_REPLACE
	}
	req := c.request(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|how|unix.NLM_F_ACK,
		append([]nl.NetlinkRequestData{msg}, append(routeAttrs(index, r), mtuAttr(r)...)...)...)
	_, err := c.do(req)
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("adding route to %s via %s: another interface has one of metric %d; give this one another metric: %w", r.Dst, r.Via, r.Metric, err)
	}
	if err != nil {
		return fmt.Errorf("adding route to %s via %s: %w", r.Dst, r.Via, err)
	}
	return nil
}

func (c *conn) delRoute(index int, r Route) error {
	msg := nl.NewRtDelMsg()
	msg.Family = uint8(family(r.Dst.Addr()))
	msg.Dst_len = uint8(r.Dst.Bits())
	msg.Protocol = originProto
	if r.Table != 0 {
		msg.Table = unix.RT_TABLE_UNSPEC
	}
	req := c.request(unix.RTM_DELROUTE, unix.NLM_F_ACK,
		append([]nl.NetlinkRequestData{msg}, routeAttrs(index, r)...)...)
	if _, err := c.do(req); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("removing route to %s via %s: %w", r.Dst, r.Via, err)
	}
	return nil
}

// routes are the unicast routes of the namespace, by link: those of the main
// table, and ours of others.
func (c *conn) routes() (map[int][]route, error) {
	msgs, err := c.dump(unix.RTM_GETROUTE, unix.RTM_NEWROUTE, nl.NewRtMsg())
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	out := map[int][]route{}
	for _, m := range msgs {
		msg := nl.DeserializeRtMsg(m)
		if msg.Type != unix.RTN_UNICAST || msg.Flags&unix.RTM_F_CLONED != 0 {
			continue
		}
		r, oif, err := parseRoute(m)
		if err != nil {
			return nil, fmt.Errorf("listing routes: %w", err)
		}
		if r.Table == 0 || r.ours {
			out[oif] = append(out[oif], r)
		}
	}
	return out, nil
}

func parseRoute(m []byte) (r route, oif int, err error) {
	msg := nl.DeserializeRtMsg(m)
	attrs, err := nl.ParseRouteAttr(m[msg.Len():])
	if err != nil {
		return route{}, 0, err
	}
	r = route{ours: msg.Protocol == originProto}
	dst, table := netip.IPv4Unspecified(), uint32(msg.Table)
	if msg.Family == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	for _, at := range attrs {
		switch at.Attr.Type {
		case unix.RTA_DST:
			dst, _ = netip.AddrFromSlice(at.Value)
		case unix.RTA_GATEWAY:
			r.Via, _ = netip.AddrFromSlice(at.Value)
		case unix.RTA_OIF:
			oif = int(nl.NativeEndian().Uint32(at.Value))
		case unix.RTA_PRIORITY:
			r.Metric = int(nl.NativeEndian().Uint32(at.Value))
		case unix.RTA_TABLE:
			table = nl.NativeEndian().Uint32(at.Value)
		case unix.RTA_METRICS:
			if r.MTU, err = mtuOf(at.Value); err != nil {
				return route{}, 0, err
			}
		}
	}
	if table != unix.RT_TABLE_MAIN {
		r.Table = int(table)
	}
	r.Dst = netip.PrefixFrom(dst, int(msg.Dst_len))
	return r, oif, nil
}
