// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"

	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
)

// TestIntroduce: ovn-controller is told of each ovs-vswitchd that comes after one, by
// the same socket spelled otherwise, and of none by a database that is new.
func TestIntroduce(t *testing.T) {
	o := ovntest.Options(t, testr.New(t))
	s := ovntest.Start(t, o)
	remote := func() string {
		t.Helper()
		return strings.Trim(tools(t, o)("ovs-vsctl", "--db="+s.Endpoints().OVS, "--no-wait", "--if-exists",
			"get", "Open_vSwitch", ".", "external_ids:ovn-bridge-remote"), `"`)
	}
	if have := remote(); have != "" {
		t.Errorf("at first it is told %q, want nothing", have)
	}
	socket := filepath.Join(o.RunDir, ovnd.Bridge+".mgmt")
	before := "unix:" + socket // what it takes where it is told nothing
	for range 3 {
		kill(t, s, "ovs-vswitchd")
		have := remote()
		path, found := strings.CutPrefix(have, "unix:")
		if !found || have == before || filepath.Clean(path) != socket {
			t.Errorf("it is told %q, want %s, spelled otherwise than %q", have, socket, before)
		}
		before = have
	}
	if err := os.Remove(filepath.Join(o.Dir, "conf.db")); err != nil {
		t.Fatal(err)
	}
	kill(t, s, "ovsdb-server")
	if have := remote(); have != before {
		t.Errorf("in a new database it is told %q, want %q as in the one before", have, before)
	}
}

// TestSwitchIsConnected: an ovsdb-server that was started anew connects to ovs-vswitchd
// by itself, and so does one whose ovs-vswitchd is new; but not before a new database
// has what there is.
func TestSwitchIsConnected(t *testing.T) {
	o := ovntest.Options(t, testr.New(t))
	s := ovntest.Start(t, o)
	tool := tools(t, o)
	vsctl := func(args ...string) string {
		t.Helper()
		return tool("ovs-vsctl", append([]string{"--db=" + s.Endpoints().OVS, "--timeout=20"}, args...)...)
	}
	bridge := "unix:" + filepath.Join(o.RunDir, ovnd.Bridge+".mgmt")
	add := func(port string) { // returns when ovs-vswitchd has done it
		t.Helper()
		vsctl("add-port", ovnd.Bridge, port, "--", "set", "Interface", port, "type=internal")
	}
	add("p1")
	kill(t, s, "ovsdb-server")
	add("p2")
	kill(t, s, "ovs-vswitchd")
	add("p3")
	// ovn-controller removes the flows of others when it connects to the bridge, also when
	// it reads that this is spelled otherwise; it has by then.
	nbctl := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(tool("ovn-nbctl", append([]string{"--db=" + s.Endpoints().NB, "--timeout=20"}, args...)...))
	}
	nbctl("--wait=hv", "sync")
	vsctl("--no-wait", "wait-until", "Bridge", ovnd.Bridge, "external_ids:ovn-nb-cfg="+nbctl("get", "NB_Global", ".", "nb_cfg"))
	nbctl("--wait=hv", "sync")

	tool("ovs-ofctl", "-OOpenFlow15", "add-flow", bridge, "table=0,priority=7,cookie=0x77,ip actions=drop")
	if err := os.Remove(filepath.Join(o.Dir, "conf.db")); err != nil {
		t.Fatal(err)
	}
	kill(t, s, "ovsdb-server")
	began := time.Now()
	for time.Since(began) < time.Second { // it must not be shown the new database
		if out := vsctl("--no-wait", "get", "Interface", ovnd.Bridge, "ofport"); strings.TrimSpace(out) != "[]" {
			t.Fatalf("before it has all ports: ofport of the bridge %q", out)
		}
	}
	vsctl("--no-wait", "add-port", ovnd.Bridge, "p1", "--", "set", "Interface", "p1", "type=internal")
	s.ReleaseSwitch(t.Context())
	vsctl("wait-until", "Interface", "p1", "ofport>0")
	if flows := tool("ovs-ofctl", "-OOpenFlow15", "--timeout=10", "dump-flows", bridge, "cookie=0x77/-1"); !strings.Contains(flows, "cookie=0x77") {
		t.Error("the bridge was made anew")
	}
	add("p4")

	// Nobody says that there is all.
	if err := os.Remove(filepath.Join(o.Dir, "conf.db")); err != nil {
		t.Fatal(err)
	}
	kill(t, s, "ovsdb-server")
	add("p5")
}

// TestOVNIsConnected: whenever ovsdb-server, ovn-northd or ovn-controller was started
// anew, the one connects to the others before anybody hears of it. It takes the place of
// daemons that connect by themselves.
func TestOVNIsConnected(t *testing.T) {
	o := ovntest.Options(t, testr.New(t))
	first, err := ovnd.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	tool := tools(t, o)
	connected := func(when string) {
		t.Helper()
		remotes := strings.Fields(tool("ovs-appctl", "-t", filepath.Join(o.RunDir, "ovsdb-server.ctl"), "ovsdb-server/list-remotes"))
		for _, file := range []string{"ovs-vswitchd.sock", "northd-nb.sock", "northd-sb.sock", "controller-sb.sock"} {
			if !slices.Contains(remotes, "unix:"+filepath.Join(o.RunDir, file)) {
				t.Errorf("%s: ovsdb-server has the remotes %q, not %s", when, remotes, file)
			}
		}
		tool("ovn-nbctl", "--db="+ovnd.EndpointsOf(o).NB, "--timeout=20", "--wait=hv", "sync")
	}
	connected("at first")

	// One of an older arca-network.
	northd := pidOf(t, first, "ovn-northd")
	tool("ovs-appctl", "-t", filepath.Join(o.RunDir, "ovn-northd.ctl"), "exit")
	for limit := time.Now().Add(20 * time.Second); syscall.Kill(northd, 0) == nil; time.Sleep(5 * time.Millisecond) { // it tells nobody
		if time.Now().After(limit) {
			t.Fatal("ovn-northd does not end")
		}
	}
	tool("ovn-northd", "--detach", "--no-chdir", "--pidfile="+filepath.Join(o.RunDir, "ovn-northd.pid"), "--unixctl="+filepath.Join(o.RunDir, "ovn-northd.ctl"),
		"--ovnnb-db="+ovnd.EndpointsOf(o).NB, "--ovnsb-db="+ovnd.EndpointsOf(o).SB)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := first.Run(ctx); err != nil { // leaves the daemons running
		t.Fatal(err)
	}
	s := ovntest.Start(t, o)
	connected("with daemons that were adopted")
	if s.Held() {
		t.Error("ovn-northd is held, though nothing was lost")
	}

	for _, name := range []string{"ovn-northd", "ovn-controller", "ovsdb-server"} {
		kill(t, s, name)
		connected(name + " was killed")
	}

	// As a server leaves it that takes longer to read its files than it is waited for.
	server := filepath.Join(o.RunDir, "ovsdb-server.ctl")
	for _, file := range []string{"northd-sb.sock", "controller-sb.sock", "ovs-vswitchd.sock"} {
		tool("ovs-appctl", "-t", server, "ovsdb-server/remove-remote", "unix:"+filepath.Join(o.RunDir, file))
	}
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) { // it tells nobody
		if n := strings.Count(tool("ovs-appctl", "-t", server, "ovsdb-server/list-remotes"), "unix:"+o.RunDir); n == 5 { // and db.sock
			break
		} else if time.Now().After(limit) {
			t.Fatalf("ovsdb-server has %d remotes of ours", n)
		}
	}
	connected("nobody had connected them")
}
