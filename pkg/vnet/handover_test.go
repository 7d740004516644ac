// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vas-solutus/arca-network/pkg/vnet/internal/ovstest"
)

func handover(n int) Handover {
	return Handover{
		Outer: fmt.Sprintf("ho%do", n), Inner: fmt.Sprintf("ho%di", n), Key: fmt.Sprintf("endpoint-%d/x", n),
		MAC: net.HardwareAddr{2, 0, 0, 1, 0, byte(n)}, MTU: 1400,
	}
}

// take does what a container engine does with the inner end.
func take(t *testing.T, h Handover, n *ovstest.Netns, name, addr string) {
	t.Helper()
	l, err := netlink.LinkByName(h.Inner)
	if err != nil {
		t.Fatal(err)
	}
	if a := l.Attrs(); a.RawFlags&unix.IFF_UP != 0 || a.MTU != h.MTU || a.HardwareAddr.String() != h.MAC.String() {
		t.Errorf("inner end as it waits: %+v; want it down, with MTU %d and MAC %s", a, h.MTU, h.MAC)
	}
	ns := n.Handle()
	if err := netlink.LinkSetNsFd(l, nsFD(t, n)); err != nil {
		t.Fatal(err)
	}
	in, err := ns.LinkByName(h.Inner)
	if err == nil {
		err = ns.LinkSetName(in, name)
	}
	if err == nil {
		err = ns.AddrAdd(in, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(addr), Mask: net.CIDRMask(16, 32)}})
	}
	if err == nil {
		err = ns.LinkSetUp(in)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func nsFD(t *testing.T, n *ovstest.Netns) int {
	t.Helper()
	fd, err := unix.Open(n.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// A pair carries traffic in the hands of an engine, with TSO and without.
func TestHandover(t *testing.T) {
	for _, tso := range []bool{true, false} {
		t.Run(fmt.Sprintf("tso=%v", tso), func(t *testing.T) {
			leakCheck(t)
			h := onHost(t, ovstest.Start(t, tso))
			h.Forward("br-int")
			sandboxes := []*ovstest.Netns{ovstest.NewNetns(t, "n1"), ovstest.NewNetns(t, "n2")}
			for i, n := range sandboxes {
				pair := handover(i + 1)
				if err := EnsureHandover(pair); err != nil {
					t.Fatal(err)
				}
				p := hostPort(External, pair.Outer, fmt.Sprintf("uid-%d", i+1))
				p.MTU = 0
				h.update(p)
				h.ready(p)
				take(t, pair, n, "eth0", ip4(i+1))
				if err := EnsureHandover(pair); err != nil {
					t.Errorf("once more, with its inner end away: %v", err)
				}
				t.Cleanup(func() { h.delete(p.Owner.UID) })
				t.Cleanup(func() {
					if err := RemoveHandover(pair.Outer, pair.Key); err != nil {
						t.Error(err)
					}
				})
				outer, err := netlink.LinkByName(pair.Outer)
				if err != nil {
					t.Fatal(err)
				}
				if a := outer.Attrs(); a.Group != LinkGroup || a.RawFlags&unix.IFF_NOARP == 0 || a.RawFlags&unix.IFF_UP == 0 {
					t.Errorf("outer end: group %#x flags %#x; want the group of ports, up, without ARP", a.Group, a.RawFlags)
				}
				if addrs, err := netlink.AddrList(outer, netlink.FAMILY_ALL); err != nil || len(addrs) != 0 {
					t.Errorf("outer end has addresses %v, %v", addrs, err)
				}
			}
			h.mustTalk(sandboxes[0], sandboxes[1], ip4(2))
			if _, err := h.m.Prune(context.Background(), func(Owner) bool { return true }); err != nil {
				t.Fatal(err)
			}
			if have, err := Handovers(); err != nil || len(have) != 2 {
				t.Errorf("pairs after a Prune: %v, %v; want both", have, err)
			}
		})
	}
}

func TestHandoverOfOthers(t *testing.T) {
	leakCheck(t)
	pair := handover(1)
	theirs := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: pair.Outer}, PeerName: "theirs-peer"}
	if err := netlink.LinkAdd(theirs); err != nil {
		t.Fatal(err)
	}
	var conflict *ConflictError
	if err := EnsureHandover(pair); !errors.As(err, &conflict) || conflict.Name != pair.Outer {
		t.Errorf("outer name taken: %v, want a ConflictError", err)
	}
	if err := RemoveHandover(pair.Outer, pair.Key); err != nil {
		t.Error(err)
	}
	if err := netlink.LinkDel(theirs); err != nil {
		t.Fatalf("a link of others was removed: %v", err)
	}
	theirs = &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: pair.Inner}, PeerName: "theirs-peer"}
	if err := netlink.LinkAdd(theirs); err != nil {
		t.Fatal(err)
	}
	if err := EnsureHandover(pair); !errors.As(err, &conflict) || conflict.Name != pair.Inner {
		t.Errorf("inner name taken: %v, want a ConflictError", err)
	}
	if _, err := netlink.LinkByName(pair.Outer); err == nil {
		t.Error("half of a pair was left")
	}
	if err := netlink.LinkDel(theirs); err != nil {
		t.Fatal(err)
	}

	// Its maker died over it.
	half := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: pair.Outer, Group: LinkGroup}, PeerName: pair.Inner}
	if err := netlink.LinkAdd(half); err != nil {
		t.Fatal(err)
	}
	if err := EnsureHandover(pair); err != nil {
		t.Fatalf("with a half made pair in the way: %v", err)
	}
	if have, err := Handovers(); err != nil || len(have) != 1 || have[0].Key != pair.Key || have[0].Outer != pair.Outer {
		t.Errorf("pairs: %v, %v; want %s", have, err, pair.Outer)
	}
	if err := RemoveHandover(pair.Outer, "another"); err != nil {
		t.Error(err)
	}
	if _, err := netlink.LinkByName(pair.Outer); err != nil {
		t.Errorf("removed by another key: %v", err)
	}
	for range 2 { // the second time there is nothing
		if err := RemoveHandover(pair.Outer, pair.Key); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []Handover{{}, {Outer: "sixteen-bytes-xx", Inner: "i", Key: "k", MAC: pair.MAC}, {Outer: "o", Inner: "i", MAC: pair.MAC}, {Outer: "o", Inner: "i", Key: "k", MAC: net.HardwareAddr{1, 0, 0, 0, 0, 1}}} {
		if err := EnsureHandover(bad); err == nil {
			t.Errorf("%+v was made", bad)
		}
	}
}
