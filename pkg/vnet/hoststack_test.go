// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vas-solutus/arca-network/pkg/vnet/internal/ovstest"
)

// The host's own stack sees the frames of a device on the userspace datapath: it
// must neither have an address there nor answer for those that it has elsewhere.
func TestHostStackKeepsOffPorts(t *testing.T) {
	h := newHost(t)
	n := ovstest.NewNetns(t, "n1")
	veth, tap := vethPort(1, n.Path), Port{
		Owner: Owner{"Attachment", "port-2", "uid-2"}, Type: Tap, Name: "tap2", IfaceID: "lsp-2",
	}
	h.update(veth)
	h.update(tap)
	for _, name := range []string{veth.Name, tap.Name} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil || len(addrs) != 0 {
			t.Errorf("%s has addresses: %v, %v", name, addrs, err)
		}
		routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL,
			&netlink.Route{LinkIndex: l.Attrs().Index, Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
		if err != nil || len(routes) != 0 {
			t.Errorf("%s has routes: %v, %v", name, routes, err)
		}
	}

	host := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 2, 1), Mask: net.CIDRMask(32, 32)}}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.AddrAdd(lo, host)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.AddrDel(lo, host) })
	eth0 := mustLink(t, n, "eth0")
	if err := n.Handle().LinkSetUp(mustLink(t, n, "lo")); err != nil { // the error comes back over it
		t.Fatal(err)
	}
	if err := n.Handle().RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Dst: host.IPNet, Scope: netlink.SCOPE_LINK}); err != nil {
		t.Fatal(err)
	}
	n.Do(func() error {
		c, err := net.DialTimeout("tcp4", "192.0.2.1:9", time.Minute)
		if err == nil {
			_ = c.Close()
		}
		if !errors.Is(err, unix.EHOSTUNREACH) {
			t.Errorf("a container asks who has the host's address: got %v, want that nobody answers", err)
		}
		return nil
	})

	// Put right when changed by hand.
	outer, err := netlink.LinkByName(veth.Name)
	if err == nil {
		err = netlink.LinkSetARPOn(outer)
	}
	if err != nil {
		t.Fatal(err)
	}
	h.update(veth)
	if outer, err = netlink.LinkByName(veth.Name); err != nil || outer.Attrs().RawFlags&unix.IFF_NOARP == 0 {
		t.Errorf("ARP is on again at %s: %v", veth.Name, err)
	}

	// A pair whose maker died before it came to this has no mark.
	setting := "/proc/sys/net/ipv6/conf/" + veth.Name + "/disable_ipv6"
	if err := errors.Join(netlink.LinkSetAlias(outer, ""), os.WriteFile(setting, []byte("0"), 0o644)); err != nil {
		t.Fatal(err)
	}
	h.update(veth)
	if off, err := os.ReadFile(setting); err != nil || string(off) != "1\n" {
		t.Errorf("%s has IPv6: %q, %v", veth.Name, off, err)
	}
	if outer, err = netlink.LinkByName(veth.Name); err != nil || outer.Attrs().Alias != linkAlias(veth.Owner) {
		t.Errorf("%s has no mark: %v", veth.Name, err)
	}
	h.delete(tap.Owner.UID)
}
