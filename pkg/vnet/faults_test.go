// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/vas-solutus/arca-network/pkg/vnet/internal/ovstest"
)

func TestVswitchdKilled(t *testing.T) {
	h := newHost(t)
	h.Forward("br-int")
	n1, n2 := ovstest.NewNetns(t, "n1"), ovstest.NewNetns(t, "n2")
	p1, p2 := vethPort(1, n1.Path), vethPort(2, n2.Path)
	up := hostPort(Internal, "uplink0", "uid-up")
	up.Addresses = []netip.Prefix{netip.MustParsePrefix("10.1.200.1/16")}
	for _, p := range []Port{p1, p2, up} {
		h.update(p)
	}
	h.mustTalk(n1, n2, ip4(2))
	h.KillVswitchd()

	// A new port while it is down: made as far as it can be, done by itself later.
	n3 := ovstest.NewNetns(t, "n3")
	p3 := vethPort(3, n3.Path)
	h.update(p3)
	// One whose device was made anew while it is down.
	if err := n2.Handle().LinkDel(mustLink(t, n2, "eth0")); err != nil {
		t.Fatal(err)
	}
	h.events.wait(Event{Owner: p2.Owner, Reason: LinkVanished})
	var vs *VswitchdError
	if _, err := h.m.Update(context.Background(), p2); !errors.As(err, &vs) {
		t.Errorf("Update of a port that must be put in anew: %v, want VswitchdError", err)
	}
	if err := h.m.Check(context.Background()); err != nil {
		t.Errorf("Check: %v", err)
	}

	h.StartVswitchd()
	h.ready(p1)
	h.ready(p3)
	h.update(p2)
	h.eventually(func() error { // its flows are those of a test, not OVN's: they went with it
		h.Forward("br-int")
		return talk(t, n1, n3, ip4(3))
	})
	h.mustTalk(n1, n2, ip4(2))
	h.quiet("Update of what came back by itself", func() { h.update(p1); h.update(p3); h.update(up) })
	h.delete(up.Owner.UID) // ovs-vswitchd leaves its taps behind when it is killed
}

func TestDatabaseWiped(t *testing.T) {
	h := newHost(t)
	n1 := ovstest.NewNetns(t, "n1")
	n2 := ovstest.NewNetns(t, "n2")
	p, p2 := vethPort(1, n1.Path), vethPort(2, n2.Path)
	up := hostPort(Internal, "uplink0", "uid-up")
	for _, p := range []Port{p, p2, up} {
		h.update(p)
	}
	h.events.take()
	h.KillServer()
	h.eventually(func() error {
		if _, _, err := h.m.State(p.Owner.UID); !errors.Is(err, ErrNotConnected) {
			return fmt.Errorf("State while the server is down: %v", err)
		}
		return nil
	})
	_, err := h.m.Update(context.Background(), p)
	_, pruneErr := h.m.Prune(context.Background(), func(Owner) bool { return true })
	for what, err := range map[string]error{
		"Update": err, "Prune": pruneErr, "Delete": h.m.Delete(context.Background(), "x"), "Check": h.m.Check(context.Background()),
	} {
		if !errors.Is(err, ErrNotConnected) {
			t.Errorf("%s while the server is down: %v, want ErrNotConnected", what, err)
		}
	}
	h.StartServer() // the same database
	h.events.wait(Event{All: true, Reason: Connected})
	h.quiet("Update with the same database", func() { h.update(p) })

	h.Forward("br-int")
	h.mustTalk(n1, n2, ip4(2))
	before := h.update(p)
	h.KillServer()
	h.CreateDB()
	h.StartServer()
	h.events.wait(Event{All: true, Reason: Wiped})
	if now, _, err := h.m.State(p.Owner.UID); err != nil || now.OFPort != before.OFPort || now.OFPort == 0 {
		t.Errorf("right after the database was wiped: %+v, %v, want the OpenFlow number of %+v", now, err, before)
	}
	h.quiet("Update with a wiped database", func() { h.update(p); h.update(p2); h.update(up) })
	if _, err := h.m.RoundTrip(t.Context()); err != nil {
		t.Fatal(err)
	}
	// ovs-vswitchd has seen it, and has neither made the bridge anew nor its ports:
	// nobody has given it flows since.
	h.mustTalk(n1, n2, ip4(2))
	h.ready(p)
	h.ready(up)
	h.checkInner(n1, p)
	if got := h.Vsctl("list-ports", "br-int"); got != "av1\nav2\nuplink0" {
		t.Errorf("ports: %q", got)
	}
	if got := h.Vsctl("get", "Bridge", "br-int", "fail_mode", "datapath_type"); got != "secure\nnetdev" {
		t.Errorf("bridge: %q", got)
	}
	h.delete(up.Owner.UID)
}

// A server that does not answer must cost a deadline, not the process.
func TestServerHangs(t *testing.T) {
	h := newHost(t)
	n := ovstest.NewNetns(t, "n1")
	p := vethPort(1, n.Path)
	if err := h.Server().Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if _, err := h.m.Update(context.Background(), p); err == nil {
		t.Error("Update succeeded with a hung server")
	}
	if err := h.Server().Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	h.eventually(func() error {
		_, err := h.m.Update(context.Background(), p)
		return err
	})
	h.checkInner(n, p)
}

// A second process on what the first made must change nothing.
func TestAdoption(t *testing.T) {
	h := newHost(t)
	n := ovstest.NewNetns(t, "n1")
	ps := []Port{vethPort(1, n.Path), hostPort(Tap, "at1", "uid-tap"), hostPort(Internal, "ai1", "uid-int")}
	for _, p := range ps {
		h.update(p)
		h.ready(p)
	}
	h.stop()
	h = manage(t, h.OVS)
	h.quiet("adopting", func() {
		for _, p := range ps {
			h.update(p)
		}
	})
	h.checkInner(n, ps[0])
	for _, p := range ps {
		h.delete(p.Owner.UID)
	}
	if got := h.Vsctl("list-ports", "br-int"); got != "" {
		t.Errorf("ports: %q", got)
	}
}

// Without userspace TSO frames pass only with the inner end's offload off; when
// ovs-vswitchd starts with it, offloads go on again.
func TestOffloadFollowsVswitchd(t *testing.T) {
	leakCheck(t)
	h := onHost(t, ovstest.Start(t, false))
	h.Forward("br-int")
	n1, n2 := ovstest.NewNetns(t, "n1"), ovstest.NewNetns(t, "n2")
	p1, p2 := vethPort(1, n1.Path), vethPort(2, n2.Path)
	csum := func() (on bool) {
		n1.Do(func() error {
			v, err := ethtool("eth0", ethtoolGetTxCsum, 0)
			on = v != 0
			return err
		})
		return on
	}
	h.update(p1)
	h.update(p2)
	h.mustTalk(n1, n2, ip4(2))
	if csum() {
		t.Error("offload is on without TSO")
	}
	h.quiet("a second Update", func() { h.update(p1) })
	// In the database only: the running ovs-vswitchd does not have it.
	h.Vsctl("set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true")
	h.update(p1)
	if csum() {
		t.Error("offload went on with a setting that ovs-vswitchd has not read")
	}
	h.events.take()
	h.KillVswitchd()
	h.StartVswitchd()
	h.events.wait(Event{All: true, Reason: OffloadChanged})
	h.update(p1)
	h.update(p2)
	if !csum() {
		t.Error("offload is off with TSO")
	}
	h.eventually(func() error {
		h.Forward("br-int")
		return talk(t, n1, n2, ip4(2))
	})
	if got := h.Vsctl("get", "Interface", p1.Name, "external_ids"); strings.Contains(got, keyTxOffload) {
		t.Errorf("the row still says that offload is off: %s", got)
	}
}

// One refused request must not take those down that share its transaction.
func TestOneBadOfABatch(t *testing.T) {
	h := newHost(t)
	h.m.mu.Lock()
	s := h.m.session
	h.m.mu.Unlock()
	b, err := s.bridgeRow()
	if err != nil {
		t.Fatal(err)
	}
	bad := func(i int) bool { return i%8 == 3 }
	var batch []*commitRequest
	for i := range 24 {
		ops := insertPort(b.UUID, plugged{Port: hostPort(External, fmt.Sprintf("ext%d", i), fmt.Sprintf("uid-%d", i))})
		if bad(i) {
			ops[0].Row["mtu_request"] = -1 // out of the schema's range
		}
		batch = append(batch, &commitRequest{ops: ops, done: make(chan struct{})})
	}
	s.commits.send(batch)
	for i, r := range batch {
		<-r.done
		if bad(i) != (r.err != nil) {
			t.Errorf("request %d: %v", i, r.err)
		}
		if rows, err := s.find(fmt.Sprintf("ext%d", i)); err != nil || bad(i) == rows.complete() {
			t.Errorf("request %d: rows %+v, %v", i, rows, err)
		}
	}
	if removed, err := h.m.Prune(context.Background(), func(Owner) bool { return false }); err != nil || removed != 21 {
		t.Errorf("pruned %d, %v", removed, err)
	}
}
