// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestSupervised: arcad without a target runs arca-network itself. Either is
// killed while a container talks to another one: the one starts again, the other
// ends with its supervisor, and the containers notice nothing.
func TestSupervised(t *testing.T) {
	w := newWorld(t)
	w.network.kill()
	w.network = nil
	w.supervising = true
	t.Cleanup(w.endSupervised)
	docker, _ := w.front()
	docker("network", "create", "--subnet", "10.88.0.0/24", "n1")
	for i := range 2 {
		name := fmt.Sprintf("c%d", i)
		docker(append([]string{"run", "-d", "--name", name, "--network", "n1", "--ip", fmt.Sprintf("10.88.0.%d", 50+i),
			"-p", fmt.Sprintf("%d:80", 9100+i)}, serve(name)...)...)
	}
	w.mustAgree()
	for i, victim := range []struct {
		name string
		kill func()
	}{
		{"arca-network", func() {
			old := w.child()
			if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if got := docker("inspect", "-f", "{{.NetworkSettings.Networks.n1.IPAddress}}", "c0"); got != "10.88.0.50" {
				t.Errorf("while arca-network starts again, c0 has address %s", got)
			}
			if now := w.child(); now == 0 || now == old {
				t.Errorf("arcad has not started arca-network again: process %d after %d", now, old)
			}
		}},
		{"arcad", func() {
			w.arcad.kill()
			w.startFront()
		}},
	} {
		t.Run(victim.name, func(t *testing.T) {
			pings := make(chan string, 1)
			go func() {
				out, err := w.engine.DockerAt(t.Context(), w.engine.Host, "exec", "c0", "ping", "-q", "-c", "60", "-i", "0.1", "10.88.0.51")
				pings <- fmt.Sprint(out, err)
			}()
			victim.kill()
			name := fmt.Sprintf("more%d", i)
			docker("run", "-d", "--name", name, "--network", "n1", image, "sleep", "1000")
			docker("exec", name, "ping", "-c", "1", "c1")
			w.published("127.0.0.1:9101", "c1")
			w.mustAgree()
			if got := <-pings; !strings.Contains(got, " 0% packet loss") {
				t.Errorf("containers that talked to each other meanwhile: %s", got)
			}
		})
	}
	docker("rm", "-f", "c0", "c1", "more0", "more1")
	docker("network", "rm", "n1")
	w.mustAgree()
}

// child is the arca-network that arcad runs; 0 is none.
func (w *world) child() int {
	w.Helper()
	statuses, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		w.Fatal(err)
	}
	for _, path := range statuses {
		raw, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(raw), fmt.Sprintf("\nPPid:\t%d\n", w.arcad.Process.Pid)) &&
			strings.HasPrefix(string(raw), "Name:\tarca-network\n") {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				w.Fatal(err)
			}
			return pid
		}
	}
	return 0
}

// endSupervised kills arcad, after which arca-network ends by itself.
func (w *world) endSupervised() {
	pid := w.child()
	w.arcad.kill()
	w.eventually(func() error {
		if pid != 0 && syscall.Kill(pid, 0) == nil {
			return errors.New("arca-network runs although its supervisor was killed")
		}
		return nil
	})
}
