// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/vas-solutus/arca-network/pkg/vnet/internal/ovstest"
	"github.com/vas-solutus/arca-network/pkg/vnet/ovsdb"
	"github.com/vishvananda/netlink"
)

// Where there are many ports, the rows of a new one are there before its device, whose
// index they name; a port is the same either way.
func TestRowsBeforeTheirDevice(t *testing.T) {
	h := newHost(t)
	h.m.rowsFirstFrom = 2
	h.Forward("br-int")
	n1, n2, n3 := ovstest.NewNetns(t, "n1"), ovstest.NewNetns(t, "n2"), ovstest.NewNetns(t, "n3")
	p1, p2, p3 := vethPort(1, n1.Path), vethPort(2, n2.Path), vethPort(3, n3.Path)
	index := func(p Port) int {
		t.Helper()
		l, err := netlink.LinkByName(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Vsctl("get", "Interface", p.Name, "external_ids:"+keyIfindex); got != `"`+itoa(l.Attrs().Index)+`"` {
			t.Errorf("%s has index %d, its row says %s", p.Name, l.Attrs().Index, got)
		}
		return l.Attrs().Index
	}
	h.update(p1)
	if i := index(p1); i >= firstReserved {
		t.Errorf("the only port's device has the reserved index %d", i)
	}
	if st := h.update(p2); st.Error != "" {
		t.Errorf("State: %+v", st)
	}
	if i := index(p2); i < firstReserved {
		t.Errorf("the second port's device has index %d: not reserved", i)
	}
	h.checkInner(n2, p2)
	h.mustTalk(n1, n2, ip4(2))
	for _, p := range []Port{p1, p2} {
		h.ready(p)
		h.quiet("Update of a port that is right", func() { h.update(p) })
	}

	// Somebody has taken the next index a moment ago.
	taken := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "taken", Index: index(p2) + 1}, PeerName: "taken-peer"}
	if err := netlink.LinkAdd(taken); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(taken) })
	h.eventually(func() error {
		h.m.links.mu.Lock()
		defer h.m.links.mu.Unlock()
		if h.m.links.last != taken.Index {
			return errors.New("the link was not seen")
		}
		h.m.links.last = taken.Index - 1
		return nil
	})
	h.update(p3)
	if i := index(p3); i >= firstReserved {
		t.Errorf("the third port's device has index %d", i)
	}
	h.mustTalk(n1, n3, ip4(3))

	// A device that was removed by hand comes back, and none has an index twice.
	before := index(p2)
	l, err := netlink.LinkByName(p2.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkDel(l); err != nil {
		t.Fatal(err)
	}
	h.events.wait(Event{Owner: p2.Owner, Reason: LinkVanished})
	h.update(p2)
	if after := index(p2); after <= before {
		t.Errorf("the new device has index %d, the old one had %d", after, before)
	}
	h.mustTalk(n1, n2, ip4(2))
}

// A device that cannot be made leaves no rows behind.
func TestRowsWithoutADevice(t *testing.T) {
	h := newHost(t)
	h.m.rowsFirstFrom = 0
	n := ovstest.NewNetns(t, "n1")
	p := vethPort(1, n.Path)
	p.InnerName = "lo"
	var conflict *ConflictError
	before := h.m.transactions.Load()
	if _, err := h.m.Update(context.Background(), p); !errors.As(err, &conflict) {
		t.Errorf("Update with an inner name that is taken: %v, want ConflictError", err)
	}
	if n := h.m.transactions.Load() - before; n != 0 {
		t.Errorf("%d transactions for a port that cannot be", n)
	}

	// The name on the host is taken between the look at it and the making.
	p = vethPort(1, n.Path)
	p.Name = "lo"
	s, done, err := h.m.use()
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	e := h.m.begin(p.Owner.UID, &p)
	defer h.m.end(p.Owner.UID, e)
	ns, _, err := openNetns(n.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ns.Close() }()
	inner, err := dial(ns, h.m.host, h.m.o.Timeout)
	if err != nil {
		t.Fatal(err)
	}
	defer inner.close()
	if err := h.m.withHost(func(host *conn) error {
		_, err := h.m.newPair(context.Background(), place{host, inner, ns}, &plugging{m: h.m, s: s, w: &plugged{Port: p}})
		return err
	}); err == nil || !strings.Contains(err.Error(), "making veth lo") {
		t.Errorf("newPair with a name that is taken: %v", err)
	}
	if n := h.m.transactions.Load() - before; n != 2 {
		t.Errorf("%d transactions, want one that puts the rows in and one that takes them out", n)
	}
	if got := h.Vsctl("list-ports", "br-int"); got != "" {
		t.Errorf("ports left: %q", got)
	}
}

// That ovs-vswitchd finds no device yet is no failure of a port whose rows are early, and
// what it said before it gave the port a number is none at all.
func TestStateOfRowsWithAnError(t *testing.T) {
	const early, late = true, false
	message := func(s string) rows { return rows{iface: &ovsdb.Interface{Error: &s}} }
	missing := "could not open network device av1 (No such device)"
	if st := stateOf(message(missing), true, early); st.Error != "" {
		t.Errorf("early rows: %q", st.Error)
	}
	if st := stateOf(message(missing), true, late); st.Error != missing {
		t.Errorf("rows of a device that went away: %q", st.Error)
	}
	if st := stateOf(message("could not add network device av1 to ofproto (Invalid argument)"), true, early); st.Error == "" {
		t.Error("another failure is hidden")
	}
	number := 5
	works := message(missing)
	works.iface.Ofport = &number
	if st := stateOf(works, true, late); st.Error != "" || st.OFPort != number {
		t.Errorf("a port that works: %+v", st)
	}
}
