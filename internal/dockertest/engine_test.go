// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dockertest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

// TestEngine: containers run and reach each other by name, outlive a killed
// dockerd, and nothing is left at the end.
func TestEngine(t *testing.T) {
	var left *Engine
	t.Run("engine", func(t *testing.T) {
		e := Start(t, Options{Flags: []string{"--live-restore"}})
		left = e
		e.Docker(t, "network", "create", "n1")
		e.Docker(t, "run", "-d", "--name", "c1", "--network", "n1", Image, "sleep", "1000")
		if out := e.Docker(t, "run", "--rm", "--network", "n1", Image, "ping", "-c", "1", "c1"); !strings.Contains(out, "1 packets received") {
			t.Errorf("ping said %s", out)
		}
		e.Crash(t)
		if e.dockerd.runs() {
			t.Error("dockerd runs after Crash")
		}
		e.Restart(t)
		if got := e.Docker(t, "inspect", "-f", "{{.State.Running}}", "c1"); got != "true" {
			t.Errorf("c1 is running: %s, want true", got)
		}
	})
	if left == nil {
		t.Fatal("no engine was started")
	}
	if p := left.processes(); len(p) > 0 {
		t.Errorf("left running: %s", strings.Join(p, "\n"))
	}
	for _, glob := range []string{left.run, left.dir, "/sys/fs/cgroup/" + left.cgroup, "/sys/fs/cgroup/*/" + left.cgroup} {
		if found, _ := filepath.Glob(glob); len(found) > 0 {
			t.Errorf("left behind: %s", found)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), left.dir) || strings.Contains(string(mounts), left.run) {
		t.Errorf("left mounted:\n%s", mounts)
	}
}

// TestNoEngine: a test that has no engine fails, it does not skip itself.
func TestNoEngine(t *testing.T) {
	t.Setenv("ARCA_DOCKER_BIN", t.TempDir())
	if _, err := start(t, Options{}); err == nil || !strings.Contains(err.Error(), "hack/docker-engine.sh") {
		t.Errorf("error is %v, want one that tells what to run", err)
	}
}

// TestEngineThatDies: an engine that ends while it starts is an error at once,
// with what it said.
func TestEngineThatDies(t *testing.T) {
	_, err := start(t, Options{Flags: []string{"--no-such-flag"}})
	if err == nil || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("error is %v, want dockerd's own", err)
	}
}
