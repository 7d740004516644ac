// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package health_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"golang.org/x/sys/unix"

	"github.com/vas-solutus/arca-network/pkg/health"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

func TestMain(m *testing.M) { ovntest.Main(m) }

// machine is OVS and OVN, measured.
type machine struct {
	*health.Monitor
	t       *testing.T
	stack   *ovnd.Stack
	changed chan struct{}
}

func newMachine(t *testing.T) *machine {
	stack := ovntest.Start(t, ovntest.Options(t, testr.New(t)))
	nb, err := ovnsync.New(ovnsync.Options{Endpoint: stack.Endpoints().NB, Log: logr.Discard(), Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ports, err := vnet.New(vnet.Options{OVSSocket: stack.Endpoints().OVS, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	checks := []health.Check{
		health.NorthboundCheck(nb), health.SouthboundCheck(nb), health.OpenVSwitchCheck(ports),
		health.DatapathCheck(ports), health.DaemonsCheck(stack.Components),
	}
	for i := range checks { // so that the test need not wait
		checks[i].Every, checks[i].Timeout = 100*time.Millisecond, time.Second
	}
	h := &machine{Monitor: health.New(testr.New(t), checks...), t: t, stack: stack, changed: make(chan struct{}, 1)}
	h.Subscribe(func(health.Report) {
		select {
		case h.changed <- struct{}{}:
		default:
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	for _, run := range []func(context.Context) error{nb.Run, ports.Run, h.Run} {
		go func() { done <- run(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	h.await(func(r health.Report) bool { return r.State == health.OK && r.Ready })
	return h
}

// await waits until the report is so.
func (h *machine) await(is func(health.Report) bool) health.Report {
	h.t.Helper()
	limit := time.After(30 * time.Second)
	for {
		if r := h.Report(); is(r) {
			return r
		}
		select {
		case <-h.changed:
		case <-limit:
			h.t.Fatalf("it did not come to that: %+v", h.Report())
		}
	}
}

// becomes waits until a component is in a state, and returns what is said of it.
func (h *machine) becomes(name string, state health.State) (health.Component, health.Report) {
	h.t.Helper()
	r := h.await(func(r health.Report) bool { c, _ := r.Component(name); return c.State == state })
	c, _ := r.Component(name)
	return c, r
}

func (h *machine) signal(name string, s syscall.Signal) {
	h.t.Helper()
	for _, c := range h.stack.Components() {
		if c.Name == name && c.PID != 0 {
			if err := syscall.Kill(c.PID, s); err != nil {
				h.t.Fatal(err)
			}
			return
		}
	}
	h.t.Fatalf("%s does not run", name)
}

// TestStopped: a daemon that hangs is found out by what it does not do, named,
// and forgiven when it goes on.
func TestStopped(t *testing.T) {
	h := newMachine(t)
	for _, c := range []struct {
		daemon, component string
		state             health.State
	}{
		{"ovn-northd", health.SouthboundPath, health.Degraded},
		{"ovn-controller", health.SouthboundPath, health.Degraded},
		{"ovs-vswitchd", health.Datapath, health.Unhealthy},
		{"ovsdb-server", health.Northbound, health.Unhealthy},
	} {
		t.Run(c.daemon, func(t *testing.T) {
			before, _ := h.Report().Component(c.component)
			h.signal(c.daemon, syscall.SIGSTOP)
			ill, report := h.becomes(c.component, c.state)
			h.signal(c.daemon, syscall.SIGCONT)
			if c.daemon != "ovsdb-server" && !strings.Contains(ill.LastError, c.daemon) {
				t.Errorf("the error does not name %s: %q", c.daemon, ill.LastError)
			}
			if !ill.Since.After(before.Since.Time) || len(ill.StillWorks) == 0 || report.State == health.OK {
				t.Errorf("component %+v of report %+v", ill, report)
			}
			h.await(func(r health.Report) bool { return r.State == health.OK })
			well, _ := h.Report().Component(c.component)
			if well.LastError == "" || !well.Since.After(ill.Since.Time) || well.RoundTrip.Duration <= 0 {
				t.Errorf("after it went on: %+v", well)
			}
		})
	}
}

// TestServerDead: without its server the northbound database is unhealthy, and
// well again with it.
func TestServerDead(t *testing.T) {
	h := newMachine(t)
	// A folder in the socket's place keeps the server from coming back.
	endpoint := strings.TrimPrefix(h.stack.Endpoints().NB, "unix:")
	if err := os.Rename(endpoint, endpoint+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(endpoint, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.signal("ovsdb-server", syscall.SIGKILL)
	for _, name := range []string{health.Northbound, health.OpenVSwitch, health.SouthboundPath, health.Daemons} {
		h.becomes(name, health.Unhealthy)
	}
	if _, r := h.becomes(health.Datapath, health.Unknown); r.Ready {
		t.Errorf("ready without databases: %+v", r)
	}
	if err := os.RemoveAll(endpoint); err != nil {
		t.Fatal(err)
	}
	h.await(func(r health.Report) bool { return r.State == health.OK && r.Ready })
}

// TestDisk: a disk that fills up is noticed before and when it is full.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512M"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	check := health.DiskCheck(dir)
	look := func() health.Measurement { return check.Measure(t.Context()) }
	if m := look(); m.State != "" || m.Err != nil {
		t.Errorf("empty: %+v", m)
	}
	for _, c := range []struct {
		used  int64
		state health.State
	}{{300 << 20, health.Degraded}, {510 << 20, health.Unhealthy}} {
		fd, err := unix.Open(filepath.Join(dir, "ballast"), unix.O_CREAT|unix.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		err = unix.Fallocate(fd, 0, 0, c.used)
		_ = unix.Close(fd)
		if err != nil {
			t.Fatal(err)
		}
		if m := look(); m.State != c.state || m.Err == nil {
			t.Errorf("%d MiB used: %+v, want %s", c.used>>20, m, c.state)
		}
	}
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	if m := look(); m.State != "" || m.Err != nil {
		t.Errorf("empty again: %+v", m)
	}
	if m := health.DiskCheck(dir + "/nowhere").Measure(t.Context()); m.Err == nil {
		t.Error("a folder that is not there is well")
	}
}
