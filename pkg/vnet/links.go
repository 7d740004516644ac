// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// markPrefix begins the alias of every link of ours:
// "arca:<kind>/<name>/<uid>". It is how a link without a row is known.
const markPrefix = "arca:"

// NamePrefix begins the names that are derived from an owner's UID.
const NamePrefix = "arca"

func markOf(o Owner) string { return markPrefix + o.Kind + "/" + o.Name + "/" + o.UID }

func parseMark(alias string) (Owner, bool) {
	rest, ours := strings.CutPrefix(alias, markPrefix)
	parts := strings.Split(rest, "/")
	if !ours || len(parts) != 3 {
		return Owner{}, false
	}
	return Owner{Kind: parts[0], Name: parts[1], UID: parts[2]}, true
}

// ensureLink makes the link of a port, and what is configured on it, what it
// should be. before are the addresses that were recorded of the port.
func (m *Manager) ensureLink(ctx context.Context, s *session, p Port, before []string) error {
	switch p.Type {
	case Veth:
		return m.ensureVeth(ctx, s, p, before)
	case Tap:
		return m.ensureTap(ctx, s, p)
	case External:
		if _, err := m.host.LinkByName(p.Name); err != nil {
			if notFound(err) {
				return &InterfaceMissingError{Name: p.Name}
			}
			return fmt.Errorf("interface %s: %w", p.Name, err)
		}
		return nil
	case Internal:
		return nil // ovs-vswitchd makes it
	}
	return fmt.Errorf("interface type %q: must be Veth, Tap, Internal or External", p.Type)
}

func notFound(err error) bool {
	var missing netlink.LinkNotFoundError
	return errors.As(err, &missing) || errors.Is(err, unix.ENODEV)
}

// outer looks a link of ours up in the host's namespace; nil where there is none.
func (m *Manager) outer(p Port, kind string) (netlink.Link, error) {
	link, err := m.host.LinkByName(p.Name)
	if notFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", p.Name, err)
	}
	o, ours := parseMark(link.Attrs().Alias)
	if link.Type() == kind && (ours && o.UID == p.Owner.UID) {
		return link, nil
	}
	if link.Type() == kind && link.Attrs().Alias == "" && strings.HasPrefix(p.Name, NamePrefix) {
		// Made by us, and the process died before it was marked.
		return link, m.mark(link, p.Owner)
	}
	return nil, &ConflictError{Name: p.Name, Where: "the host"}
}

// mark writes the owner into a link's alias. The kernel takes an alias only
// for a link that exists.
func (m *Manager) mark(link netlink.Link, o Owner) error {
	if err := m.host.LinkSetAlias(link, markOf(o)); err != nil {
		return fmt.Errorf("marking interface %s: %w", link.Attrs().Name, err)
	}
	return nil
}

func (m *Manager) ensureVeth(ctx context.Context, s *session, p Port, before []string) error {
	file, err := os.Open(p.Netns)
	if err != nil {
		m.await(p)
		return &NetnsError{Path: p.Netns, Err: pathError(err)}
	}
	defer file.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return err
	}
	inside, err := netlink.NewHandleAt(netns.NsHandle(file.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		m.await(p)
		return &NetnsError{Path: p.Netns, Err: errors.New("it is not a network namespace")}
	}
	defer inside.Close()

	outer, err := m.outer(p, "veth")
	if err != nil {
		return err
	}
	inner, err := inside.LinkByName(p.InnerName)
	if err != nil && !notFound(err) {
		return fmt.Errorf("interface %s in %s: %w", p.InnerName, p.Netns, err)
	}
	switch {
	case outer != nil && inner != nil && inner.Attrs().ParentIndex == outer.Attrs().Index && outer.Attrs().ParentIndex == inner.Attrs().Index:
	case inner != nil && outer == nil, inner != nil && inner.Attrs().ParentIndex != outer.Attrs().Index:
		return &ConflictError{Name: p.InnerName, Where: p.Netns}
	default:
		if outer != nil { // its other end is in a namespace of the past
			if err := m.host.LinkDel(outer); err != nil && !notFound(err) {
				return fmt.Errorf("removing interface %s: %w", p.Name, err)
			}
		}
		if s.plugged(p.Name) {
			if err := m.unplug(ctx, s, p.Owner.UID); err != nil {
				return err
			}
		}
		if err := m.addVeth(p, int(file.Fd())); err != nil {
			return err
		}
		outer = nil
		if inner, err = inside.LinkByName(p.InnerName); err != nil {
			return fmt.Errorf("interface %s in %s: %w", p.InnerName, p.Netns, err)
		}
		if !s.offloads {
			if err := disableOffloads(int(file.Fd()), p.InnerName); err != nil {
				return fmt.Errorf("turning transmit offloads of %s in %s off: %w", p.InnerName, p.Netns, err)
			}
		}
	}
	if outer != nil {
		if err := settle(m.host, outer, nil, p.MTU); err != nil {
			return fmt.Errorf("interface %s: %w", p.Name, err)
		}
	}
	if err := configure(inside, inner, p, before); err != nil {
		return fmt.Errorf("interface %s in %s: %w", p.InnerName, p.Netns, err)
	}
	m.settled(p, stat.Ino)
	return nil
}

func pathError(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// addVeth makes both ends in one call: the outer end up, the inner one in its
// namespace with its name, MAC address and MTU. Then it marks the outer end.
func (m *Manager) addVeth(p Port, ns int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Flags = p.Name, p.MTU, net.FlagUp
	veth := &netlink.Veth{
		LinkAttrs:        attrs,
		PeerName:         p.InnerName,
		PeerHardwareAddr: p.MAC,
		PeerNamespace:    netlink.NsFd(ns),
		PeerMTU:          uint32(p.MTU),
	}
	if err := m.host.LinkAdd(veth); err != nil {
		return fmt.Errorf("making veth pair %s and %s in %s: %w", p.Name, p.InnerName, p.Netns, err)
	}
	return m.mark(veth, p.Owner)
}

// ensureTap makes a persistent tap, so that a VMM can come and go. It has a
// virtio header, which carries offloads: QEMU and OVS both use it.
func (m *Manager) ensureTap(ctx context.Context, s *session, p Port) error {
	link, err := m.outer(p, "tuntap")
	if err != nil {
		return err
	}
	if link == nil {
		if s.plugged(p.Name) {
			if err := m.unplug(ctx, s, p.Owner.UID); err != nil {
				return err
			}
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name = p.Name
		tap := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR}
		if err := m.host.LinkAdd(tap); err != nil {
			return fmt.Errorf("making tap %s: %w", p.Name, err)
		}
		if link, err = m.host.LinkByName(p.Name); err != nil {
			return err
		}
		if err := m.mark(link, p.Owner); err != nil {
			return errors.Join(err, m.host.LinkDel(link))
		}
	}
	if err := settle(m.host, link, nil, p.MTU); err != nil {
		return fmt.Errorf("tap %s: %w", p.Name, err)
	}
	return nil
}

// configureInternal configures an internal port once ovs-vswitchd has made it;
// until then an event is awaited.
func (m *Manager) configureInternal(p Port, before []string) error {
	link, err := m.host.LinkByName(p.Name)
	if notFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("interface %s: %w", p.Name, err)
	}
	if err := configure(m.host, link, p, before); err != nil {
		return fmt.Errorf("interface %s: %w", p.Name, err)
	}
	return nil
}

// removeLink removes a link of ours. One that is gone, or of others, is left.
func (m *Manager) removeLink(name, uid string) error {
	link, err := m.host.LinkByName(name)
	if notFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if o, ours := parseMark(link.Attrs().Alias); !ours || o.UID != uid {
		return nil
	}
	if err := m.host.LinkDel(link); err != nil && !notFound(err) {
		return fmt.Errorf("removing interface %s: %w", name, err)
	}
	return nil
}

// settle brings MAC address, MTU and link state to what they should be.
func settle(h *netlink.Handle, link netlink.Link, mac net.HardwareAddr, mtu int) error {
	a := link.Attrs()
	if mac != nil && !slices.Equal(a.HardwareAddr, mac) {
		if err := h.LinkSetHardwareAddr(link, mac); err != nil {
			return fmt.Errorf("setting MAC address %s: %w", mac, err)
		}
	}
	if mtu > 0 && a.MTU != mtu {
		if err := h.LinkSetMTU(link, mtu); err != nil {
			return fmt.Errorf("setting MTU %d: %w", mtu, err)
		}
	}
	if a.Flags&net.FlagUp == 0 {
		if err := h.LinkSetUp(link); err != nil {
			return fmt.Errorf("raising it: %w", err)
		}
	}
	return nil
}

// routeProtocol marks routes of ours, as rtnetlink(7) lets a program choose.
const routeProtocol = 97

// configure brings the port's user's end to what it should be. Addresses and
// routes of others are left alone.
func configure(h *netlink.Handle, link netlink.Link, p Port, before []string) error {
	if err := settle(h, link, p.MAC, p.MTU); err != nil {
		return err
	}
	have, err := h.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("listing addresses: %w", err)
	}
	held := map[string]bool{}
	for _, a := range have {
		held[a.IPNet.String()] = true
	}
	wanted := map[string]bool{}
	for _, a := range p.Addresses {
		wanted[a.String()] = true
	}
	for _, old := range before {
		if !wanted[old] && held[old] {
			if err := changeAddress(h.AddrDel, link, old); err != nil {
				return err
			}
		}
	}
	for _, a := range p.Addresses {
		if !held[a.String()] {
			if err := changeAddress(h.AddrReplace, link, a.String()); err != nil {
				return err
			}
		}
	}
	return configureRoutes(h, link, p.Routes)
}

func changeAddress(do func(netlink.Link, *netlink.Addr) error, link netlink.Link, cidr string) error {
	a, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	if a.IP.To4() == nil {
		// OVN answers for addresses and lets nobody else have this one: there
		// is nothing to detect, and the address works at once.
		a.Flags = unix.IFA_F_NODAD
	}
	if err := do(link, a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("address %s: %w", cidr, err)
	}
	return nil
}

func configureRoutes(h *netlink.Handle, link netlink.Link, routes []Route) error {
	if len(routes) == 0 {
		return nil
	}
	ours, err := h.RouteListFiltered(netlink.FAMILY_ALL,
		&netlink.Route{LinkIndex: link.Attrs().Index, Protocol: routeProtocol}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("listing routes: %w", err)
	}
	for _, r := range routes {
		i := slices.IndexFunc(ours, func(have netlink.Route) bool { return sameRoute(have, r) })
		if i >= 0 {
			ours = slices.Delete(ours, i, i+1)
			continue
		}
		add := &netlink.Route{
			LinkIndex: link.Attrs().Index, Protocol: routeProtocol, Priority: r.Metric,
			Dst: &net.IPNet{IP: r.Dst.Addr().AsSlice(), Mask: net.CIDRMask(r.Dst.Bits(), r.Dst.Addr().BitLen())},
		}
		if r.Via.IsValid() {
			add.Gw = r.Via.AsSlice()
		}
		if err := h.RouteReplace(add); err != nil {
			return fmt.Errorf("route %s via %s: %w", r.Dst, r.Via, err)
		}
	}
	for i := range ours {
		if err := h.RouteDel(&ours[i]); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("removing route %s: %w", ours[i].Dst, err)
		}
	}
	return nil
}

func sameRoute(have netlink.Route, want Route) bool {
	dst := netip.PrefixFrom(want.Dst.Addr(), want.Dst.Bits()).String()
	if have.Dst != nil {
		if have.Dst.String() != dst {
			return false
		}
	} else if want.Dst.Bits() != 0 {
		return false
	}
	via, _ := netip.AddrFromSlice(have.Gw)
	return via.Unmap() == want.Via && have.Priority == want.Metric
}
