// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ovntest owns what tests need to run real OVS and OVN daemons: a
// network and mount namespace for the whole test process, and a stack of
// daemons of its own for each test. It must not be used outside of tests.
package ovntest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/vas-solutus/arca-network/internal/testns"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
)

// Main runs a package's tests in a network and mount namespace of their own,
// in which /run is empty. Call it from TestMain.
func Main(m *testing.M) { testns.Main(m.Run) }

// Root finds the root folder with the daemons; empty means the system's own.
func Root(t testing.TB) string {
	t.Helper()
	if root := os.Getenv("ARCA_OVN_ROOT"); root != "" {
		return root
	}
	cache := os.Getenv("ARCA_CACHE")
	if cache == "" {
		cache = "/var/cache/arca-network"
	}
	root := filepath.Join(cache, "ovn-root")
	if _, err := os.Stat(filepath.Join(root, ".complete")); err == nil {
		return root
	}
	if _, err := exec.LookPath("ovn-northd"); err == nil {
		return ""
	}
	t.Fatal("no OVS and OVN to test with: run hack/ovn-root.sh (or make ovn-root)")
	return ""
}

var versions sync.Once

// Options are those of a stack with folders of its own.
func Options(t testing.TB, log logr.Logger) ovnd.Options {
	t.Helper()
	run, err := os.MkdirTemp("/run", "ovn") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	return ovnd.Options{Root: Root(t), Dir: t.TempDir(), RunDir: run, Log: log}
}

// Start starts a stack whose daemons are restarted when they die, and stops it
// at the test's end.
func Start(t testing.TB, o ovnd.Options) *ovnd.Stack {
	t.Helper()
	stack, err := ovnd.Start(t.Context(), o)
	if err != nil {
		logs(t, o)
		stop(t, o) // or those that did start are in the way of the next test
		t.Fatal(err)
	}
	versions.Do(func() { t.Logf("OVS %s, OVN %s", stack.Versions().OVS, stack.Versions().OVN) })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- stack.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		stop(t, o)
		if t.Failed() {
			logs(t, o)
		}
		for _, c := range stack.Components() {
			if c.PID != 0 && runs(c.PID) {
				t.Errorf("%s (pid %d) still runs", c.Name, c.PID)
			}
		}
	})
	return stack
}

// stop ends the daemons.
func stop(t testing.TB, o ovnd.Options) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := ovnd.Stop(ctx, o); err != nil {
		t.Errorf("stopping the daemons: %v", err)
	}
}

// logs shows the end of each daemon's log, which goes with the test's folder.
func logs(t testing.TB, o ovnd.Options) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(o.Dir, "log", "*.log"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Log(err)
			continue
		}
		t.Logf("%s:\n%s", filepath.Base(file), text[max(0, len(text)-3000):])
	}
}

// runs tells whether a process is there and not only waits to be reaped.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}
