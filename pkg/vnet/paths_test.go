// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vas-solutus/arca-network/pkg/vnet/internal/ovstest"
)

// Two ports in one namespace: each has its rules while the other is there, and
// is told when the other comes or goes and when something of it is taken away.
func TestSeveralInOneNamespace(t *testing.T) {
	h := newHost(t)
	n := ovstest.NewNetns(t, "n1")
	nh := n.Handle()
	first, second := vethPort(1, n.Path), vethPort(2, n.Path)
	second.InnerName = "eth1"
	second.Addresses = []netip.Prefix{netip.MustParsePrefix("10.2.0.2/16"), netip.MustParsePrefix("fd02::2/64")}
	second.Routes = []Route{
		{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.2.255.254"), Metric: 7},
		{Dst: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("fd02::ffff:1"), Metric: 7},
	}
	rules := func() (ours, theirs []netlink.Rule) {
		t.Helper()
		all, err := nh.RuleList(netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			if r.Protocol == originProto {
				ours = append(ours, r)
			} else {
				theirs = append(theirs, r)
			}
		}
		return ours, theirs
	}
	var before []netlink.Rule
	check := func(when string, want int) {
		t.Helper()
		ours, theirs := rules()
		if len(ours) != want {
			t.Errorf("%s: %d rules, want %d: %v", when, len(ours), want, ours)
		}
		if got, was := fmt.Sprint(theirs), fmt.Sprint(before); got != was {
			t.Errorf("%s: rules of others are %s, were %s", when, got, was)
		}
	}
	person := netlink.NewRule()
	person.Family, person.Priority, person.Table = unix.AF_INET, 32723, 99
	if err := nh.RuleAdd(person); err != nil {
		t.Fatal(err)
	}
	_, before = rules()

	h.update(first)
	check("alone", 0)
	h.update(second)
	check("the first is not told yet", 8)
	h.events.wait(Event{Owner: first.Owner, Reason: InnerChanged})
	h.update(first)
	check("both", 16)
	h.update(second)
	h.quiet("a second Update", func() { h.update(first) })

	// A new Manager has seen neither; it takes nothing away.
	h.stop()
	h = onHost(t, h.OVS)
	h.update(first)
	check("after a restart", 16)
	h.update(second)

	ours, _ := rules()
	if err := nh.RuleDel(&ours[0]); err != nil {
		t.Fatal(err)
	}
	h.events.wait(Event{Owner: first.Owner, Reason: InnerChanged})
	h.update(first)
	h.update(second)
	check("one was removed by hand", 16)

	// Made anew, it is another link, and the rules of the former go.
	if err := nh.LinkDel(mustLink(t, n, "eth1")); err != nil {
		t.Fatal(err)
	}
	h.events.wait(Event{Owner: second.Owner, Reason: LinkVanished})
	h.update(second)
	check("the second was made anew", 16)

	h.events.take()
	h.delete(second.Owner.UID)
	check("the second is gone", 8)
	h.events.wait(Event{Owner: first.Owner, Reason: InnerChanged})
	h.update(first)
	check("alone again", 0)
	h.delete(first.Owner.UID)
	check("none", 0)
}
