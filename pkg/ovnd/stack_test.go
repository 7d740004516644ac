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

func TestMain(m *testing.M) { ovntest.Main(m) }

// TestRestart: each daemon that is killed comes back by itself, and a second
// start adopts what runs.
func TestRestart(t *testing.T) {
	o := ovntest.Options(t, testr.New(t))
	s := ovntest.Start(t, o)
	back := make(chan string, 4)
	s.Subscribe(func(c string) { back <- c })
	for _, c := range s.Components() {
		from := time.Now()
		if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		select {
		case name := <-back:
			if name != c.Name {
				t.Errorf("%s came back, want %s", name, c.Name)
			}
			t.Logf("%s is back after %v", name, time.Since(from))
		case <-time.After(20 * time.Second):
			t.Fatalf("%s did not come back", c.Name)
		}
	}
	for _, c := range s.Components() {
		if c.PID == 0 || c.Restarts != 1 {
			t.Errorf("%+v: want it running after one restart", c)
		}
	}
}

// pidOf is a daemon's process.
func pidOf(t *testing.T, s *ovnd.Stack, name string) int {
	t.Helper()
	for _, c := range s.Components() {
		if c.Name == name && c.PID != 0 {
			return c.PID
		}
	}
	t.Fatalf("%s does not run", name)
	return 0
}

// tools runs a tool, which must not fail, and returns what it prints.
func tools(t *testing.T, o ovnd.Options) func(name string, args ...string) string {
	return func(name string, args ...string) string {
		t.Helper()
		out, err := ovnd.Tool(t.Context(), o, name, args...)
		if err != nil {
			t.Fatal(err, out)
		}
		return out
	}
}

// kill kills a daemon and waits until it was started again.
func kill(t *testing.T, s *ovnd.Stack, name string) {
	t.Helper()
	back := make(chan struct{}, 1)
	s.Subscribe(func(c string) {
		if c != name {
			return
		}
		select {
		case back <- struct{}{}:
		default: // that of a later kill: it must not keep the daemons from being watched
		}
	})
	if err := syscall.Kill(pidOf(t, s, name), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-back:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s did not come back", name)
	}
}

// TestAdopt: daemons outlive the one who started them, and the next one takes
// them over as they are.
func TestAdopt(t *testing.T) {
	o := ovntest.Options(t, testr.New(t))
	first, err := ovnd.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ovnd.Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), o.RunDir) {
		t.Errorf("a second one at the same time: got %v, want an error that names %s", err, o.RunDir)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := first.Run(ctx); err != nil { // leaves the daemons running
		t.Fatal(err)
	}
	second := ovntest.Start(t, o)
	for i, c := range second.Components() {
		if was := first.Components()[i]; c.PID != was.PID {
			t.Errorf("%s: pid %d, was %d", c.Name, c.PID, was.PID)
		}
	}
}

// TestRecycledPID: a pid file that names a process which is not the daemon is
// not believed.
func TestRecycledPID(t *testing.T) {
	o := ovntest.Options(t, testr.New(t))
	if err := os.WriteFile(o.RunDir+"/ovn-northd.pid", []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := ovntest.Start(t, o)
	for _, c := range s.Components() {
		if c.PID <= 1 {
			t.Errorf("%+v", c)
		}
	}
}

// TestDamagedDatabase: a database that cannot be read is put aside.
func TestDamagedDatabase(t *testing.T) {
	o := ovntest.Options(t, testr.New(t))
	if err := os.WriteFile(o.Dir+"/nb.db", []byte("OVSDB JSON 5 0000\nnonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := ovntest.Start(t, o)
	aside := func() int {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(o.Dir, "*.corrupt-*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	if n := aside(); n != 1 {
		t.Errorf("%d damaged files were put aside, want 1", n)
	}
	kill(t, s, "ovsdb-server")
	if n := aside(); n != 1 {
		t.Errorf("%d damaged files after a kill, want the 1 from before", n)
	}
	// Damaged under a server that has opened it.
	if err := os.WriteFile(filepath.Join(o.Dir, "sb.db"), []byte("OVSDB JSON 5 0000\nnonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	kill(t, s, "ovsdb-server")
	if n := aside(); n != 2 {
		t.Errorf("%d damaged files were put aside, want 2", n)
	}
}

// TestRunFolderTooLong: the error says what is too long and what is allowed.
func TestRunFolderTooLong(t *testing.T) {
	o := ovntest.Options(t, testr.New(t))
	o.RunDir += strings.Repeat("x", 100)
	if _, err := ovnd.Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), "at most 107") {
		t.Errorf("got %v", err)
	}
}
