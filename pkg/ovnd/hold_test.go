// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"

	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
)

// TestHold: what ovn-northd has derived outlives a northbound database that is lost,
// if its rows come back as they were; also when ovn-northd, or who handles the
// daemons, dies meanwhile.
func TestHold(t *testing.T) {
	o := ovntest.Options(t, testr.New(t))
	tool := tools(t, o)
	datapaths := func() string {
		return tool("ovn-sbctl", "--db="+ovnd.EndpointsOf(o).SB, "--bare", "--columns=_uuid", "list", "Datapath_Binding")
	}
	create := func() {
		t.Helper()
		tool("ovn-nbctl", "--db="+ovnd.EndpointsOf(o).NB, "--id=7f1a9fdc-95b1-4a43-9d9e-3c1f6fd5a201", "create", "Logical_Switch", "name=s")
	}
	until := func(what string, is func() bool) {
		t.Helper()
		for limit := time.Now().Add(20 * time.Second); !is(); time.Sleep(20 * time.Millisecond) { // OVN tells nobody here
			if time.Now().After(limit) {
				t.Fatalf("not so after 20 s: %s", what)
			}
		}
	}
	first, err := ovnd.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- first.Run(ctx) }()
	create()
	until("there is a datapath", func() bool { return datapaths() != "" })
	was := datapaths()
	if first.Held() {
		t.Error("ovn-northd is held, though nothing was lost")
	}

	if err := os.Remove(filepath.Join(o.Dir, "nb.db")); err != nil {
		t.Fatal(err)
	}
	kill(t, first, "ovsdb-server")
	if !first.Held() {
		t.Error("ovn-northd is not held")
	}
	kill(t, first, "ovn-northd")
	connected := func() string {
		return strings.TrimSpace(tool("ovs-appctl", "-t", filepath.Join(o.RunDir, "ovn-northd.ctl"), "nb-connection-status"))
	}
	if s := connected(); s != "not connected" {
		t.Errorf("ovn-northd that was started anew is %s while it is to be held", s)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	second := ovntest.Start(t, o)
	if !second.Held() {
		t.Error("the next to handle the daemons does not know that ovn-northd is held")
	}
	create()
	second.Release(t.Context())
	if second.Held() {
		t.Error("ovn-northd is held after it was released")
	}
	until("ovn-northd works", func() bool { return connected() == "connected" })
	// What is derived next comes after what it makes of the switch that came back.
	tool("ovn-nbctl", "--db="+ovnd.EndpointsOf(o).NB, "ls-add", "next")
	until("there is a second datapath", func() bool { return len(strings.Fields(datapaths())) == 2 })
	if now := datapaths(); !strings.Contains(now, was) {
		t.Errorf("datapaths are %q; %q is another now", now, was)
	}
}

// TestHoldUnknown: an ovn-controller that does not answer is adopted like another, and
// told to go on as if it were held.
func TestHoldUnknown(t *testing.T) {
	o := ovntest.Options(t, testr.New(t))
	first, err := ovnd.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := first.Run(ctx); err != nil { // leaves the daemons running
		t.Fatal(err)
	}
	pid := pidOf(t, first, "ovn-controller")
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	second, err := ovnd.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !second.Paused() {
		t.Error("an ovn-controller that does not answer is taken for one that is not held")
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- second.Run(ctx) }()
	for limit := time.Now().Add(30 * time.Second); second.Paused(); time.Sleep(20 * time.Millisecond) { // it tells nobody here
		if time.Now().After(limit) {
			t.Fatal("ovn-controller is held 30 s after it answers again")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := second.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestSouthboundWiped: while nobody has filled a new southbound database,
// ovn-controller leaves the flows that it has made; afterwards it works on.
func TestSouthboundWiped(t *testing.T) {
	o := ovntest.Options(t, testr.New(t))
	s := ovntest.Start(t, o)
	tool := tools(t, o)
	nbctl := func(args ...string) {
		t.Helper()
		tool("ovn-nbctl", append([]string{"--db=" + s.Endpoints().NB}, args...)...)
	}
	nbctl("--wait=sb", "ls-add", "s", "--", "lsp-add", "s", "p", "--", "lsp-set-addresses", "p", "02:00:00:00:00:01")
	tool("ovs-vsctl", "--db="+s.Endpoints().OVS, "add-port", ovnd.Bridge, "p", "--", "set", "Interface", "p", "type=internal", "external_ids:iface-id=p")
	nbctl("--wait=hv", "sync")
	flows := func() int {
		t.Helper()
		out := tool("ovs-ofctl", "-OOpenFlow15", "--timeout=10", "dump-flows", "unix:"+filepath.Join(o.RunDir, ovnd.Bridge+".mgmt"))
		return strings.Count(out, "cookie=")
	}
	status := func() string {
		return strings.TrimSpace(tool("ovs-appctl", "-t", filepath.Join(o.RunDir, "ovn-controller.ctl"), "debug/status"))
	}
	before := flows()
	if before < 20 {
		t.Fatalf("%d flows before", before)
	}
	pid := pidOf(t, s, "ovn-northd")
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	if err := os.Remove(filepath.Join(o.Dir, "sb.db")); err != nil {
		t.Fatal(err)
	}
	kill(t, s, "ovsdb-server")
	// By itself it would connect again after a second or two.
	for limit := time.Now().Add(4 * time.Second); time.Now().Before(limit); time.Sleep(100 * time.Millisecond) {
		if now := flows(); now < before || status() != "paused" || !s.Paused() {
			t.Fatalf("%d flows, %d before; ovn-controller is %s", now, before, status())
		}
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(30 * time.Second); status() != "running" || s.Paused(); time.Sleep(20 * time.Millisecond) { // it tells nobody here
		if time.Now().After(limit) {
			t.Fatalf("ovn-controller is %s 30 s after ovn-northd went on", status())
		}
	}
	nbctl("--timeout=30", "--wait=hv", "lsp-add", "s", "q")
	if now := flows(); now < before {
		t.Errorf("%d flows in the end, %d before", now, before)
	}
}
