// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vas-solutus/arca-network/pkg/vnet/internal/ovstest"
)

func TestVethLifecycle(t *testing.T) {
	h := newHost(t)
	h.Forward("br-int")
	n1, n2 := ovstest.NewNetns(t, "n1"), ovstest.NewNetns(t, "n2")
	p1, p2 := vethPort(1, n1.Path), vethPort(2, n2.Path)

	if st := h.update(p1); !st.Plugged || !st.NetnsPresent {
		t.Errorf("state after Update: %+v", st)
	}
	h.update(p2)
	h.checkInner(n1, p1)
	h.checkInner(n2, p2)
	h.events.wait(Event{Owner: p1.Owner, Reason: PortStatus})
	h.ready(p1)
	h.ready(p2)
	h.mustTalk(n1, n2, ip4(2))
	h.mustTalk(n2, n1, ip6(1))

	got := h.Vsctl("--columns=external_ids", "--bare", "list", "Interface", p1.Name)
	for _, want := range []string{
		"iface-id=lsp-uid-1", "attached-mac=02:00:00:00:00:01",
		"arca-owner-kind=Attachment", "arca-owner-name=port-1", "arca-owner-uid=uid-1",
	} {
		if !strings.Contains(strings.ReplaceAll(got, `"`, ""), want) {
			t.Errorf("external_ids lack %s: %s", want, got)
		}
	}

	h.quiet("Update of what is right", func() { h.update(p1) })
	h.delete("uid-1")
	h.delete("uid-1") // nothing there: no error
	h.delete("uid-never")
	if got := inner(t, n1, "eth0"); !strings.Contains(got, "not found") {
		t.Errorf("the inner end is still there: %s", got)
	}
	if got := h.Vsctl("list-ports", "br-int"); got != p2.Name {
		t.Errorf("ports left: %q, want %s", got, p2.Name)
	}
	n2.Remove()
	h.events.wait(Event{Owner: p2.Owner, Reason: NetnsVanished})
	h.delete("uid-2") // its namespace is gone
	if got := h.Vsctl("list-ports", "br-int"); got != "" {
		t.Errorf("ports left: %q", got)
	}
}

// Our own changes must not come back as events, or each Update would cause
// another one; what ovn-controller sets must.
func TestNoEchoButOVNInstalled(t *testing.T) {
	h := newHost(t)
	n := ovstest.NewNetns(t, "n1")
	p := vethPort(1, n.Path)
	h.update(p)
	h.ready(p)
	p.MTU, p.IfaceID = 1300, "lsp-other"
	h.update(p)
	h.Vsctl("set", "Interface", p.Name, "external_ids:ovn-installed=true")
	h.events.wait(Event{Owner: p.Owner, Reason: OVNInstalled})
	if st, found, err := h.m.State(p.Owner.UID); err != nil || !found || !st.OVNInstalled {
		t.Errorf("State: %+v, %v, %v", st, found, err)
	}
	h.Vsctl("remove", "Interface", p.Name, "external_ids", "ovn-installed")
	h.events.wait(Event{Owner: p.Owner, Reason: OVNInstalled})
	h.delete(p.Owner.UID)
	n.Remove()
	h.Vsctl("--no-wait", "set", "Bridge", "br-int", "fail_mode=standalone") // the last event: all before it came
	h.events.wait(Event{All: true, Reason: BridgeRepaired})
	for _, ev := range h.events.take() {
		t.Errorf("event of our own doing: %+v", ev)
	}
}

// A port is settled from the Update that made it so until an event tells that it
// differs; what OVN writes is news of it and no more.
func TestSettled(t *testing.T) {
	h := newHost(t)
	n := ovstest.NewNetns(t, "n1")
	p := vethPort(1, n.Path)
	settled := func(p Port, want bool) State {
		t.Helper()
		st, ok := h.m.Settled(p)
		if ok != want {
			t.Fatalf("settled: %v, want %v", ok, want)
		}
		return st
	}
	settled(p, false)
	h.update(p)
	h.ready(p)
	if st := settled(p, true); !st.Plugged || st.OVNInstalled || st.OFPort == 0 {
		t.Errorf("state of a new port: %+v", st)
	}
	h.Vsctl("set", "Interface", p.Name, "external_ids:ovn-installed=true")
	h.events.wait(Event{Owner: p.Owner, Reason: OVNInstalled})
	if st := settled(p, true); !st.OVNInstalled {
		t.Errorf("state of a port that OVN has installed: %+v", st)
	}
	other := p
	other.MTU = 1300
	settled(other, false)
	settled(p, true)
	h.update(other)
	settled(p, false)
	h.delete(p.Owner.UID)
	settled(other, false)
	n.Remove()
}

// What an event tells of while an Update is at work may be what it has read before:
// the next one has to look again.
func TestNotSettledByAnUpdateThatWasOvertaken(t *testing.T) {
	h := newHost(t)
	n := ovstest.NewNetns(t, "n1")
	p := vethPort(1, n.Path)
	for what, tell := range map[string]func(){
		"of the port":  func() { h.m.tell(p.Owner, NetnsReplaced) },
		"of all ports": func() { h.m.tellAll(OffloadChanged) },
	} {
		h.m.making.Lock() // the Update waits here
		done := make(chan error, 1)
		go func() {
			_, err := h.m.Update(context.Background(), p)
			done <- err
		}()
		h.eventually(func() error {
			h.m.mu.Lock()
			defer h.m.mu.Unlock()
			if e := h.m.entries[p.Owner.UID]; e == nil || e.busy == 0 {
				return errors.New("the Update has not begun")
			}
			return nil
		})
		tell()
		h.m.making.Unlock()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if _, ok := h.m.Settled(p); ok {
			t.Errorf("an event %s came during the Update, and the port is settled", what)
		}
		h.update(p)
		if _, ok := h.m.Settled(p); !ok {
			t.Errorf("an event %s came before the Update, and the port is not settled", what)
		}
		h.delete(p.Owner.UID)
	}
	n.Remove()
}

func TestNetnsMissingComesAndGoes(t *testing.T) {
	h := newHost(t)
	h.Forward("br-int")
	n2 := ovstest.NewNetns(t, "n2")
	h.update(vethPort(2, n2.Path))

	n1 := ovstest.NewNetns(t, "n1")
	n1.Remove()
	p := vethPort(1, n1.Path)
	_, err := h.m.Update(context.Background(), p)
	var missing *NetnsError
	if !errors.As(err, &missing) || missing.Path != n1.Path {
		t.Fatalf("Update without a namespace: %v, want NetnsError", err)
	}
	if got := h.Vsctl("list-ports", "br-int"); got != "av2" {
		t.Errorf("half made: ports %q", got)
	}
	for round := range 3 {
		n1.Create()
		h.events.wait(Event{Owner: p.Owner, Reason: NetnsAppeared})
		h.update(p)
		h.checkInner(n1, p)
		h.mustTalk(n1, n2, ip4(2))
		if round == 2 {
			break
		}
		n1.Remove()
		h.events.wait(Event{Owner: p.Owner, Reason: NetnsVanished})
		if _, err := h.m.Update(context.Background(), p); !errors.As(err, &missing) {
			t.Fatalf("Update with the namespace gone: %v", err)
		}
		if st, _, err := h.m.State(p.Owner.UID); err != nil || st.NetnsPresent {
			t.Errorf("State with the namespace gone: %+v, %v", st, err)
		}
	}

	// Another namespace in the same place; the old one lives on in a process.
	old := n1.Handle()
	n1.Unmount()
	n1.Mount()
	h.events.wait(Event{Owner: p.Owner, Reason: NetnsReplaced})
	h.update(p)
	h.checkInner(n1, p)
	h.mustTalk(n1, n2, ip4(2))
	if _, err := old.LinkByName("eth0"); err == nil {
		t.Error("the old namespace still has the interface")
	}

	// A file that is no namespace.
	n1.Unmount()
	if _, err := h.m.Update(context.Background(), p); !errors.As(err, &missing) {
		t.Errorf("Update with a plain file: %v, want NetnsError", err)
	}
	n1.Mount()
	h.events.wait(Event{Owner: p.Owner, Reason: NetnsAppeared})
	h.update(p)
	h.mustTalk(n1, n2, ip4(2))
}

// The folder of the namespaces may not exist yet.
func TestNetnsFolderAppears(t *testing.T) {
	h := newHost(t)
	dir := t.TempDir()
	n := ovstest.NewNetns(t, "n1")
	p := vethPort(1, dir+"/a/b/n1")
	var missing *NetnsError
	if _, err := h.m.Update(context.Background(), p); !errors.As(err, &missing) {
		t.Fatalf("Update: %v, want NetnsError", err)
	}
	if err := os.Mkdir(dir+"/a", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/a/b", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(n.Path, dir+"/a/b/n1"); err != nil {
		t.Fatal(err)
	}
	h.events.wait(Event{Owner: p.Owner, Reason: NetnsAppeared})
	h.update(p)
	h.checkInner(n, p)
}

func TestConflicts(t *testing.T) {
	h := newHost(t)
	n := ovstest.NewNetns(t, "n1")
	nh := n.Handle()
	p := vethPort(1, n.Path)
	var conflict *ConflictError
	refused := func(what string, p Port) {
		t.Helper()
		before := inner(t, n, "eth0")
		if _, err := h.m.Update(context.Background(), p); !errors.As(err, &conflict) {
			t.Errorf("%s: %v, want ConflictError", what, err)
		}
		if after := inner(t, n, "eth0"); after != before {
			t.Errorf("%s: changed %s to %s", what, before, after)
		}
	}

	dummy := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "foreign1"}
	if err := nh.LinkAdd(dummy); err != nil {
		t.Fatal(err)
	}
	refused("the inner name is taken", p)
	if conflict.Netns != n.Path {
		t.Errorf("conflict without the namespace: %v", conflict)
	}
	if err := nh.LinkDel(dummy); err != nil {
		t.Fatal(err)
	}

	outer := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: p.Name}, PeerName: "foreign2"}
	if err := netlink.LinkAdd(outer); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(outer) })
	refused("the outer name is taken", p)
	internal := p
	internal.Type, internal.Netns, internal.InnerName = Internal, "", ""
	refused("the outer name is taken, Internal", internal)
	tap := internal
	tap.Type = Tap
	refused("the outer name is taken, Tap", tap)
	if err := netlink.LinkDel(outer); err != nil {
		t.Fatal(err)
	}
	h.events.wait(Event{Owner: p.Owner, Reason: LinkVanished})

	h.Vsctl("--no-wait", "add-port", "br-int", p.Name, "--", "set", "Interface", p.Name, "type=internal")
	refused("the OVS port is somebody else's", p)
	h.Vsctl("del-port", p.Name)
	h.events.wait(Event{Owner: p.Owner, Reason: RowChanged})
	h.eventually(func() error {
		_, err := h.m.Update(context.Background(), p)
		return err
	})
	h.checkInner(n, p)

	other := p
	other.Owner.UID = "another"
	refused("the name is another owner's", other)
	h.checkInner(n, p)
}

func TestBadNames(t *testing.T) {
	leakCheck(t)
	m, err := New(Options{OVSSocket: "unix:/nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "sixteen-bytes-xx", "a/b", "a b", "..", "a:b"} {
		p := vethPort(1, "/run/netns/x")
		p.Name = name
		var bad *NameError
		if _, err := m.Update(context.Background(), p); !errors.As(err, &bad) || bad.Field != "Name" {
			t.Errorf("name %q: %v, want NameError of Name", name, err)
		}
		p = vethPort(1, "/run/netns/x")
		p.InnerName = name
		if _, err := m.Update(context.Background(), p); !errors.As(err, &bad) || bad.Field != "InnerName" {
			t.Errorf("inner name %q: %v, want NameError of InnerName", name, err)
		}
	}
	if _, err := m.Update(context.Background(), vethPort(1, "/run/netns/x")); !errors.Is(err, ErrNotConnected) {
		t.Errorf("before Run: %v, want ErrNotConnected", err)
	}
}
