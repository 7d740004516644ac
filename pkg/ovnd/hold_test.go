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
	tool := func(name string, args ...string) string {
		t.Helper()
		out, err := ovnd.Tool(t.Context(), o, name, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
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
	status := func() string { return tool("ovs-appctl", "-t", filepath.Join(o.RunDir, "ovn-northd.ctl"), "status") }
	if s := status(); !strings.Contains(s, "paused") {
		t.Errorf("ovn-northd that was started anew says %q, want it paused", s)
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
	until("ovn-northd works", func() bool { return strings.Contains(status(), "active") })
	// What is derived next comes after what it makes of the switch that came back.
	tool("ovn-nbctl", "--db="+ovnd.EndpointsOf(o).NB, "ls-add", "next")
	until("there is a second datapath", func() bool { return len(strings.Fields(datapaths())) == 2 })
	if now := datapaths(); !strings.Contains(now, was) {
		t.Errorf("datapaths are %q; %q is another now", now, was)
	}
}

// TestHoldUnknown: an ovn-northd that does not answer is adopted like another, and
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
	signal := func(s syscall.Signal) {
		t.Helper()
		for _, c := range first.Components() {
			if c.Name == "ovn-northd" {
				if err := syscall.Kill(c.PID, s); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	signal(syscall.SIGSTOP)
	second := ovntest.Start(t, o)
	signal(syscall.SIGCONT)
	if !second.Held() {
		t.Error("an ovn-northd that does not answer is taken for one that is not held")
	}
	second.Release(t.Context())
	if second.Held() {
		t.Error("ovn-northd is held after it was released")
	}
}
