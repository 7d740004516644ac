// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestKilled: each of the three is killed while containers are started, ended and
// connected. Afterwards all say the same, and containers can be started.
func TestKilled(t *testing.T) {
	w := newWorld(t)
	w.run("network", "create", "-d", "arca", "--ipam-driver", "arca", "n1")
	w.run("network", "create", "-d", "arca", "--ipam-driver", "arca", "n2")
	for _, victim := range []struct {
		name string
		kill func()
	}{
		{"arcad", func() { w.arcad.kill(); w.startArcad() }},
		{"arca-network", func() { w.network.kill(); w.startNetwork() }},
		{"dockerd", func() { w.engine.Crash(t); w.engine.Restart(t) }},
	} {
		t.Run(victim.name, func(t *testing.T) {
			w.T = t
			for round := range 3 {
				w.underLoad(func() {
					w.atSomeMoment(1500 * time.Millisecond)
					victim.kill()
				})
				w.mustAgree()
				w.cleanUp()
				w.mustAgree()
				name := fmt.Sprintf("after%d", round)
				w.run(append([]string{"run", "-d", "--name", name, "--network", "n1", "-p", "8080:80"}, serve(name)...)...)
				w.published("127.0.0.1:8080", name)
				w.run("rm", "-f", name)
				w.unpublished("127.0.0.1:8080")
			}
		})
		w.T = t
	}
	w.run("network", "rm", "n1", "n2")
	w.mustAgree()
	w.endOrphans()
}

// TestLiveRestore: containers outlive their engine, and so does what they are
// reached by. The engine knows them again, and nothing of theirs is taken away.
func TestLiveRestore(t *testing.T) {
	w := newWorld(t, "--live-restore")
	w.run("network", "create", "-d", "arca", "--ipam-driver", "arca", "n1")
	w.run(append([]string{"run", "-d", "--name", "c1", "--network", "n1", "-p", "8080:80"}, serve("c1")...)...)
	w.run("run", "-d", "--name", "c2", "--network", "n1", image, "sleep", "1000")
	w.mustAgree()
	before, err := w.ofEngine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.arcad.kill()
	w.engine.Crash(t)
	if got, err := answers("127.0.0.1:8080"); got != "c1" {
		t.Errorf("without its engine c1 answers %q, %v", got, err)
	}
	w.startArcad()
	w.engine.Restart(t)
	// Its first endpoint has the driver activated and looked at.
	w.run("run", "--rm", "--network", "n1", image, "ping", "-c", "1", "c2")
	w.mustAgree()
	after, err := w.ofEngine(t.Context())
	if err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("endpoints are %v, %v; before they were %v", after, err, before)
	}
	w.published("127.0.0.1:8080", "c1")
	w.run("rm", "-f", "c1", "c2")
	w.unpublished("127.0.0.1:8080")
	w.run("network", "rm", "n1")
	w.mustAgree()
}

// atSomeMoment waits for a part of the time that a load takes, another one each
// time. There is nothing to wait for: each step of a load leaves something else
// half made when it is broken off, and a moment that was chosen would be between
// the same two steps for ever.
func (w *world) atSomeMoment(of time.Duration) {
	w.Helper()
	pause := rand.N(of)
	w.Logf("killing after %s", pause.Round(time.Millisecond))
	time.Sleep(pause)
}

// underLoad runs something while containers come and go. What fails then, fails.
func (w *world) underLoad(during func()) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	try := func(args ...string) { _, _ = w.engine.DockerAt(ctx, w.engine.Host, args...) }
	var load sync.WaitGroup
	for i := range 3 {
		load.Go(func() {
			name := fmt.Sprintf("load%d", i)
			// An engine that starts again waits for what ran, unless it may be killed.
			try("run", "-d", "--name", name, "--network", "n1", "-p", fmt.Sprintf("%d:80", 9100+i), "--stop-signal", "KILL", image, "sleep", "1000")
			try("network", "connect", "n2", name)
			try("network", "create", "-d", "arca", "--ipam-driver", "arca", "net"+name)
			if i != 0 {
				try("rm", "-f", name)
			}
			try("network", "rm", "net"+name)
		})
	}
	during()
	load.Wait()
}

// cleanUp removes what the load has left in the engine.
func (w *world) cleanUp() {
	w.Helper()
	if left := strings.Fields(w.run("ps", "-aq")); len(left) > 0 {
		w.run(append([]string{"rm", "-f"}, left...)...)
	}
	for name := range strings.FieldsSeq(w.run("network", "ls", "--filter", "driver=arca", "--format", "{{.Name}}")) {
		if strings.HasPrefix(name, "net") {
			w.run("network", "rm", name)
		}
	}
}

// endOrphans ends containers that a killed dockerd had begun and does not know: it
// leaves them to containerd, and they are no affair of ours.
func (w *world) endOrphans() {
	w.Helper()
	shims, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		w.Fatal(err)
	}
	var orphans []string
	for _, shim := range shims {
		raw, _ := os.ReadFile(shim) // it may be gone
		args := strings.Split(string(raw), "\x00")
		id := slices.Index(args, "-id")
		if !strings.HasSuffix(args[0], "containerd-shim-runc-v2") || id < 0 || id+1 >= len(args) {
			continue
		}
		w.Logf("dockerd has left container %s", args[id+1])
		lists, err := filepath.Glob("/sys/fs/cgroup/*/docker-*/" + args[id+1] + "/cgroup.procs")
		if err != nil {
			w.Fatal(err)
		}
		unified, err := filepath.Glob("/sys/fs/cgroup/docker-*/" + args[id+1] + "/cgroup.procs")
		if err != nil {
			w.Fatal(err)
		}
		for _, list := range append(lists, unified...) {
			pids, _ := os.ReadFile(list)
			for pid := range strings.FieldsSeq(string(pids)) {
				w.end(pid)
			}
		}
		w.end(filepath.Base(filepath.Dir(shim)))
		orphans = append(orphans, args[id+1])
	}
	// containerd clears away after a shim that died.
	w.eventually(func() error {
		lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, line := range lines {
			raw, _ := os.ReadFile(line)
			if slices.ContainsFunc(orphans, func(id string) bool { return strings.Contains(string(raw), id) }) {
				return fmt.Errorf("%s: %s", line, strings.ReplaceAll(string(raw), "\x00", " "))
			}
		}
		return err
	})
}

// end ends a process of this test's own PID namespace.
func (w *world) end(pid string) {
	n, err := strconv.Atoi(pid)
	if err == nil && n > 1 {
		_ = syscall.Kill(n, syscall.SIGKILL)
		w.eventually(func() error {
			if syscall.Kill(n, 0) == nil {
				return fmt.Errorf("process %d is there", n)
			}
			return nil
		})
	}
}
