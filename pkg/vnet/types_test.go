// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vas-solutus/arca-network/pkg/vnet/internal/ovstest"
)

func hostPort(typ Type, name, uid string) Port {
	return Port{
		Owner: Owner{Kind: "Attachment", Name: name, UID: uid}, Type: typ, Name: name, IfaceID: "lsp-" + uid,
		MAC: net.HardwareAddr{2, 0, 0, 0, 7, 1}, MTU: 1400,
	}
}

// openTap does what a VMM does.
func openTap(t *testing.T, name string, flags uint16) {
	t.Helper()
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | flags)
	if err := unix.IoctlIfreq(int(f.Fd()), unix.TUNSETIFF, ifr); err != nil {
		t.Errorf("a VMM cannot open tap %s: %v", name, err)
	}
}

func TestTap(t *testing.T) {
	h := newHost(t)
	p := hostPort(Tap, "at1", "uid-tap")
	h.update(p)
	h.ready(p)
	h.quiet("a second Update", func() { h.update(p) })
	openTap(t, p.Name, unix.IFF_VNET_HDR)
	l, err := netlink.LinkByName(p.Name)
	if err != nil {
		t.Fatal(err)
	}
	a := l.Attrs()
	if a.Alias != "arca:Attachment/uid-tap" || a.MTU != 1400 || a.Flags&net.FlagUp == 0 || l.(*netlink.Tuntap).NonPersist {
		t.Errorf("tap: %+v", l)
	}
	if a.HardwareAddr.String() == p.MAC.String() {
		t.Error("the tap has the guest's own MAC")
	}
	if err := netlink.LinkDel(l); err != nil {
		t.Fatal(err)
	}
	h.events.wait(Event{Owner: p.Owner, Reason: LinkVanished})
	h.update(p)
	h.ready(p)
	h.delete(p.Owner.UID)
	if _, err := netlink.LinkByName(p.Name); err == nil {
		t.Error("the tap is still there")
	}
}

func TestInternal(t *testing.T) {
	h := newHost(t)
	h.Forward("br-int")
	p := hostPort(Internal, "uplink0", "uid-up")
	p.Addresses = []netip.Prefix{netip.MustParsePrefix("10.1.200.1/16"), netip.MustParsePrefix("fd00:1::c801/64")}
	p.Routes = []Route{
		{Dst: netip.MustParsePrefix("10.200.0.0/16"), Via: netip.MustParseAddr("10.1.0.1"), MTU: 1290},
		{Dst: netip.MustParsePrefix("fd00:200::/64"), Via: netip.MustParseAddr("fd00:1::1"), MTU: 1285},
	}
	check := func() {
		t.Helper()
		l, err := netlink.LinkByName(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		a := l.Attrs()
		if a.HardwareAddr.String() != p.MAC.String() || a.MTU != p.MTU || a.Flags&net.FlagUp == 0 {
			t.Errorf("device: %+v", a)
		}
		addrs, err := netlink.AddrList(l, netlink.FAMILY_V4)
		if err != nil || len(addrs) != 1 || addrs[0].IPNet.String() != "10.1.200.1/16" {
			t.Errorf("addresses %v, %v", addrs, err)
		}
		routes, err := netlink.RouteList(l, netlink.FAMILY_V4)
		if err != nil || len(routes) != 2 {
			t.Errorf("routes %v, %v", routes, err)
		}
		for _, want := range p.Routes {
			routes, err := netlink.RouteGetWithOptions(want.Dst.Addr().Next().AsSlice(), &netlink.RouteGetOptions{FIBMatch: true})
			if err != nil || len(routes) != 1 || routes[0].MTU != want.MTU {
				t.Errorf("route to %s: %+v, %v, want MTU %d", want.Dst, routes, err, want.MTU)
			}
		}
	}
	h.update(p)
	check()
	h.ready(p)
	check() // ovs-vswitchd has done its part too
	h.quiet("a second Update", func() { h.update(p) })
	n := ovstest.NewNetns(t, "n1")
	h.update(vethPort(1, n.Path))
	h.eventually(func() error {
		var err error
		n.Do(func() error {
			var c net.Conn
			if c, err = net.Dial("tcp", "10.1.200.1:1"); err == nil {
				_ = c.Close()
			} else if errors.Is(err, unix.ECONNREFUSED) {
				err = nil // it answers
			}
			return nil
		})
		return err
	})

	l, err := netlink.LinkByName(p.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetDown(l); err != nil {
		t.Fatal(err)
	}
	h.events.wait(Event{Owner: p.Owner, Reason: LinkChanged})
	h.update(p)
	check()
	h.Vsctl("del-port", p.Name)
	h.events.wait(Event{Owner: p.Owner, Reason: RowChanged})
	h.update(p)
	h.ready(p)
	check()
	for range 3 { // ovs-vswitchd keeps the row, and does not miss the device
		if l, err = netlink.LinkByName(p.Name); err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkDel(l); err != nil {
			t.Fatal(err)
		}
		h.events.wait(Event{Owner: p.Owner, Reason: LinkVanished})
		h.update(p)
		h.ready(p)
		check()
	}
	p.MTU = 1300
	p.Routes[0].MTU, p.Routes[1].MTU = 1288, 1287
	h.update(p)
	check()
	h.delete(p.Owner.UID)
	if _, err := netlink.LinkByName(p.Name); err == nil {
		t.Error("the device is still there")
	}
}

func TestExternal(t *testing.T) {
	h := newHost(t)
	p := hostPort(External, "theirs", "uid-ext")
	p.MTU = 0
	var missing *InterfaceMissingError
	if _, err := h.m.Update(context.Background(), p); !errors.As(err, &missing) || missing.Name != p.Name {
		t.Fatalf("Update: %v, want InterfaceMissingError", err)
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: p.Name}, PeerName: "theirs-peer"}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(veth) })
	h.events.wait(Event{Owner: p.Owner, Reason: LinkAppeared})
	h.update(p)
	h.ready(p)
	first := h.Vsctl("get", "Interface", p.Name, "_uuid")
	h.quiet("a second Update", func() { h.update(p) })

	// Made anew by its owner: ovs-vswitchd must be made to see that.
	if err := netlink.LinkDel(veth); err != nil {
		t.Fatal(err)
	}
	h.events.wait(Event{Owner: p.Owner, Reason: LinkVanished})
	veth = &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: p.Name}, PeerName: "theirs-peer"}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	h.events.wait(Event{Owner: p.Owner, Reason: LinkAppeared})
	h.update(p)
	h.ready(p)
	if second := h.Vsctl("get", "Interface", p.Name, "_uuid"); second == first {
		t.Error("the port was not put in anew")
	}
	h.delete(p.Owner.UID)
	if l, err := netlink.LinkByName(p.Name); err != nil || l.Attrs().Alias != "" {
		t.Errorf("an interface of others was touched: %v, %v", l, err)
	}
	if got := h.Vsctl("list-ports", "br-int"); got != "" {
		t.Errorf("ports left: %q", got)
	}
}

func TestPrune(t *testing.T) {
	h := newHost(t)
	n := ovstest.NewNetns(t, "n1")
	kept, orphan := vethPort(1, n.Path), vethPort(2, n.Path)
	orphan.InnerName = "eth1"
	orphan.Routes = nil
	tap, internal := hostPort(Tap, "at1", "uid-tap"), hostPort(Internal, "ai1", "uid-int")
	for _, p := range []Port{kept, orphan, tap, internal} {
		h.update(p)
	}
	// Of others: a port, a link with an alias, one of our group with an alias.
	h.Vsctl("add-port", "br-int", "foreign", "--", "set", "Interface", "foreign", "type=internal", "external_ids:owner=me")
	t.Cleanup(func() { h.Vsctl("del-port", "foreign") })
	foreign := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "fveth", Group: LinkGroup}, PeerName: "fpeer"}
	// Of ours: a pair whose maker died before it could be marked, one without rows.
	half := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "half", Group: LinkGroup}, PeerName: "halfpeer"}
	marked := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "marked"}, PeerName: "markedpeer"}
	for _, l := range []netlink.Link{foreign, half, marked} {
		if err := netlink.LinkAdd(l); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = netlink.LinkDel(l) })
	}
	if err := errors.Join(netlink.LinkSetAlias(foreign, "mine"), netlink.LinkSetAlias(marked, "arca:Attachment/uid-gone")); err != nil {
		t.Fatal(err)
	}
	h.stop()
	h = onHost(t, h.OVS) // a new process that knows nothing
	removed, err := h.m.Prune(context.Background(), func(o Owner) bool { return o.UID == kept.Owner.UID })
	if err != nil || removed != 5 {
		t.Errorf("removed %d, %v; want 5: two veths, tap, internal, half-made", removed, err)
	}
	if got := h.Vsctl("list-ports", "br-int"); got != "av1\nforeign" {
		t.Errorf("ports: %q", got)
	}
	var names []string
	for name := range linkNames(t) {
		names = append(names, name)
	}
	for name, want := range map[string]bool{
		"av1": true, "fveth": true, "foreign": true, "av2": false, "at1": false, "ai1": false, "half": false, "marked": false,
	} {
		_, there := linkNames(t)[name]
		if there != want {
			t.Errorf("link %s there: %v, want %v; all: %s", name, there, want, strings.Join(names, " "))
		}
	}
	if removed, err := h.m.Prune(context.Background(), func(o Owner) bool { return o.UID == kept.Owner.UID }); err != nil || removed != 0 {
		t.Errorf("again: removed %d, %v", removed, err)
	}
	h.quiet("Update of what was kept", func() { h.update(kept) })
}
