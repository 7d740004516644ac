// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/vas-solutus/arca-network/pkg/vnet/internal/ovstest"
)

// What a person may do to a port by hand. Each is told by an event where one
// can exist, put right by the next Update, and leaves a port that passes traffic.
func TestEditedByHand(t *testing.T) {
	h := newHost(t)
	h.Forward("br-int")
	n1, n2, n3 := ovstest.NewNetns(t, "n1"), ovstest.NewNetns(t, "n2"), ovstest.NewNetns(t, "n3")
	p, peer := vethPort(1, n1.Path), vethPort(2, n2.Path)
	h.update(p)
	h.update(peer)
	h.mustTalk(n1, n2, ip4(2))

	nh := n1.Handle()
	in := func() netlink.Link {
		l, err := nh.LinkByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	out := func() netlink.Link {
		l, err := netlink.LinkByName(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	addr := func(s string) *netlink.Addr {
		a, err := netlink.ParseAddr(s)
		do(err)
		return a
	}
	for _, c := range []struct {
		what string
		edit func()
		told Reason // empty: nothing tells, the periodic resync finds it
	}{
		{"inner end deleted", func() { do(nh.LinkDel(in())) }, LinkVanished},
		{"outer end deleted", func() { do(netlink.LinkDel(out())) }, LinkVanished},
		{"outer end down", func() { do(netlink.LinkSetDown(out())) }, LinkChanged},
		{"inner end down", func() { do(nh.LinkSetDown(in())) }, LinkChanged},
		{"outer end's mark removed", func() { do(netlink.LinkSetAlias(out(), "")) }, LinkChanged},
		{"outer end's MTU", func() { do(netlink.LinkSetMTU(out(), 1280)) }, LinkChanged},
		{"outer end renamed", func() {
			do(netlink.LinkSetDown(out()))
			do(netlink.LinkSetName(out(), "renamed"))
		}, LinkVanished},
		{"inner end renamed", func() {
			do(nh.LinkSetDown(in()))
			do(nh.LinkSetName(in(), "renamed"))
			h.events.wait(Event{Owner: p.Owner, Reason: LinkChanged})
		}, ""},
		{"inner end moved away", func() {
			ns, err := netns.GetFromPath(n3.Path)
			do(err)
			defer func() { _ = ns.Close() }()
			do(nh.LinkSetNsFd(in(), int(ns)))
		}, LinkChanged},
		{"inner end's MAC", func() { do(nh.LinkSetHardwareAddr(in(), net.HardwareAddr{2, 9, 9, 9, 9, 9})) }, ""},
		{"inner end's MTU", func() { do(nh.LinkSetMTU(in(), 1280)) }, ""},
		{"IPv4 address removed", func() { do(nh.AddrDel(in(), addr(ip4(1)+"/16"))) }, InnerChanged},
		{"IPv6 address removed", func() { do(nh.AddrDel(in(), addr(ip6(1)+"/64"))) }, InnerChanged},
		{"default route removed", func() {
			do(nh.RouteDel(&netlink.Route{LinkIndex: in().Attrs().Index, Gw: net.ParseIP("10.1.255.254")}))
		}, InnerChanged},
		{"default route elsewhere", func() {
			do(nh.RouteReplace(&netlink.Route{LinkIndex: in().Attrs().Index, Gw: net.ParseIP("10.1.255.253")}))
		}, InnerChanged},
		{"OVS port removed", func() { h.Vsctl("del-port", p.Name) }, RowChanged},
		{"external_ids of the interface cleared", func() { h.Vsctl("clear", "Interface", p.Name, "external_ids") }, RowChanged},
		{"external_ids of both cleared", func() {
			h.Vsctl("clear", "Interface", p.Name, "external_ids", "--", "clear", "Port", p.Name, "external_ids")
		}, RowChanged},
		{"iface-id", func() { h.Vsctl("set", "Interface", p.Name, "external_ids:iface-id=other") }, RowChanged},
		{"another owner written", func() { h.Vsctl("set", "Port", p.Name, "external_ids:arca-owner-uid=other") }, RowChanged},
		{"type", func() { h.Vsctl("--no-wait", "set", "Interface", p.Name, "type=tap") }, RowChanged},
		{"VLAN tag", func() { h.Vsctl("set", "Port", p.Name, "tag=7") }, RowChanged},
		{"OVS port moved to another bridge", func() {
			h.Vsctl("del-port", p.Name, "--", "add-br", "br-other", "--", "set", "Bridge", "br-other", "datapath_type=netdev")
			h.Vsctl("add-port", "br-other", p.Name)
			h.Vsctl("del-br", "br-other")
		}, RowChanged},
	} {
		h.events.take()
		c.edit()
		if c.told != "" {
			h.events.wait(Event{Owner: p.Owner, Reason: c.told})
			if _, ok := h.m.Settled(p); ok {
				t.Errorf("%s: the port is settled", c.what)
			}
		}
		h.update(p)
		h.quiet(c.what+": a second Update", func() { h.update(p) })
		h.checkInner(n1, p)
		if err := waitTalk(h, n1, n2); err != nil {
			t.Errorf("%s: no traffic after Update: %v", c.what, err)
		}
		if t.Failed() {
			t.Fatalf("after %q", c.what)
		}
	}
	if _, err := n3.Handle().LinkByName("eth0"); err == nil {
		t.Error("the end that was moved away is still there")
	}
	h.stop()
	leftovers := linkNames(t)
	delete(leftovers, "lo")
	if len(leftovers) != 2 {
		t.Errorf("links of the host: %v, want two", leftovers)
	}
	n1.Remove()
	n2.Remove()
}

func waitTalk(h *host, from, to *ovstest.Netns) (err error) {
	for range 5 {
		if err = talk(h.t, from, to, ip4(2)); err == nil {
			return nil
		}
	}
	return err
}

// Addresses and routes that somebody else added stay; ours follow the spec.
func TestAddressesOfOthersStay(t *testing.T) {
	h := newHost(t)
	n := ovstest.NewNetns(t, "n1")
	p := vethPort(1, n.Path)
	h.update(p)
	nh := n.Handle()
	l, err := nh.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"10.1.7.7/16", "192.168.9.9/24", "fd00::7777/64"} {
		a, err := netlink.ParseAddr(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := nh.AddrAdd(l, a); err != nil {
			t.Fatal(err)
		}
	}
	_, dst, _ := net.ParseCIDR("10.99.0.0/16")
	if err := nh.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Gw: net.ParseIP("192.168.9.1")}); err != nil {
		t.Fatal(err)
	}
	// Another Manager, so that only the marks tell whose an address is.
	h.stop()
	h = onHost(t, h.OVS)
	p.Addresses = []netip.Prefix{netip.MustParsePrefix("10.1.0.5/16"), netip.MustParsePrefix("fd00::5/64")}
	p.Routes = p.Routes[1:]
	p.Routes = append(p.Routes, Route{Dst: netip.MustParsePrefix("10.50.0.0/16"), Via: netip.MustParseAddr("10.1.0.9"), Metric: 5},
		Route{Dst: netip.MustParsePrefix("10.51.0.0/16")})
	h.update(p)
	got := inner(t, n, "eth0")
	for _, want := range []string{"10.1.7.7/16", "192.168.9.9/24", "fd00::7777/64", "10.99.0.0/16>192.168.9.1",
		"10.1.0.5/16", "fd00::5/64", "10.50.0.0/16>10.1.0.9", "::/0>fd00::ffff:1"} {
		if !strings.Contains(got, " "+want) {
			t.Errorf("lacks %s: %s", want, got)
		}
	}
	for _, gone := range []string{ip4(1) + "/16", ip6(1) + "/64", "10.1.255.254"} {
		if strings.Contains(got, gone) {
			t.Errorf("still has %s: %s", gone, got)
		}
	}
	before := inner(t, n, "eth0")
	h.update(p)
	if after := inner(t, n, "eth0"); after != before {
		t.Errorf("a second Update changed %s to %s", before, after)
	}
}

// TestChassisRenamed: what OVN calls this host is read, and told when it changes.
func TestChassisRenamed(t *testing.T) {
	h := newHost(t)
	for _, name := range []string{"one", "two"} {
		h.Vsctl("set", "Open_vSwitch", ".", "external_ids:system-id="+name)
		h.events.wait(Event{All: true, Reason: ChassisRenamed})
		if got := h.m.Chassis(); got != name {
			t.Errorf("chassis %q, want %q", got, name)
		}
	}
}
