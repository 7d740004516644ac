// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vas-solutus/arca-network/pkg/vnet/internal/ovstest"
)

// Link-local addresses are on the inner end, those of IPv4 with the scope of the
// link, beside the one that the kernel makes; they carry traffic, and go when they
// are no longer wanted.
func TestLinkLocalAddresses(t *testing.T) {
	h := newHost(t)
	h.Forward("br-int")
	n1, n2 := ovstest.NewNetns(t, "n1"), ovstest.NewNetns(t, "n2")
	p1, p2 := vethPort(1, n1.Path), vethPort(2, n2.Path)
	plain := p1.Addresses
	p1.Addresses = append(slices.Clone(plain), netip.MustParsePrefix("169.254.8.1/16"), netip.MustParsePrefix("fe80::1/64"))
	p2.Addresses = append(slices.Clone(p2.Addresses), netip.MustParsePrefix("169.254.8.2/16"))
	h.update(p1)
	h.update(p2)
	h.ready(p1)
	h.ready(p2)
	const kernels = "fe80::ff:fe00:1/64"
	has := func(want map[string]netlink.Scope) {
		t.Helper()
		list, err := n1.Handle().AddrList(mustLink(t, n1, "eth0"), netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]netlink.Scope{}
		for _, a := range list {
			if a.IP.IsLinkLocalUnicast() {
				got[a.IPNet.String()] = netlink.Scope(a.Scope)
			}
		}
		for address, scope := range want {
			if s, there := got[address]; !there || s != scope {
				t.Errorf("%s: there %v, scope %s, want %s", address, there, s, scope)
			}
			delete(got, address)
		}
		if len(got) != 0 {
			t.Errorf("it has %v too", got)
		}
	}
	has(map[string]netlink.Scope{"169.254.8.1/16": netlink.SCOPE_LINK, "fe80::1/64": netlink.SCOPE_LINK, kernels: netlink.SCOPE_LINK})
	h.mustTalk(n2, n1, "169.254.8.1")
	h.quiet("Update of what is right", func() { h.update(p1) })

	// Another Manager: only the marks tell whose an address is.
	h.stop()
	h = onHost(t, h.OVS)
	p1.Addresses = append(slices.Clone(plain), netip.MustParsePrefix("169.254.8.3/16"))
	h.update(p1)
	has(map[string]netlink.Scope{"169.254.8.3/16": netlink.SCOPE_LINK, kernels: netlink.SCOPE_LINK})
	p1.Addresses = plain
	h.update(p1)
	has(map[string]netlink.Scope{kernels: netlink.SCOPE_LINK})
}

// Each of two links of one namespace may have 169.254.0.0/16: what is sent from an
// address of one leaves by it.
func TestLinkLocalOfTwoLinks(t *testing.T) {
	h := newHost(t)
	n := ovstest.NewNetns(t, "n1")
	first, second := vethPort(1, n.Path), vethPort(2, n.Path)
	second.InnerName = "eth1"
	second.Addresses = []netip.Prefix{netip.MustParsePrefix("10.2.0.2/16"), netip.MustParsePrefix("169.254.8.2/16"), netip.MustParsePrefix("fe80::2/64")}
	second.Routes = []Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.2.255.254"), Metric: 7}}
	first.Addresses = append(first.Addresses, netip.MustParsePrefix("169.254.8.1/16"))
	h.update(first)
	h.update(second)
	h.events.wait(Event{Owner: first.Owner, Reason: InnerChanged})
	h.update(first)
	leaves := func(from, want string) {
		t.Helper()
		src := netip.MustParseAddr(from).AsSlice()
		routes, err := n.Handle().RouteGetWithOptions(netip.MustParseAddr("169.254.77.7").AsSlice(), &netlink.RouteGetOptions{SrcAddr: src})
		if err != nil || len(routes) != 1 {
			t.Fatalf("from %s: %v %v", from, routes, err)
		}
		if got := mustLink(t, n, want).Attrs().Index; routes[0].LinkIndex != got || routes[0].Gw != nil {
			t.Errorf("from %s: %v, want %s (%d)", from, routes[0], want, got)
		}
	}
	leaves("169.254.8.1", "eth0")
	leaves("169.254.8.2", "eth1")
	h.delete(second.Owner.UID)
	h.events.wait(Event{Owner: first.Owner, Reason: InnerChanged})
	h.update(first)
	leaves("169.254.8.1", "eth0")
}
