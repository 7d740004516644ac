// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
)

func TestMain(m *testing.M) { ovntest.Main(m) }

// TestStories runs testdata/*.txtar one after the other: each has the
// namespace for itself, and must leave it as it was.
func TestStories(t *testing.T) {
	bin := build(t)
	root := ovntest.Root(t)
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			w := &world{root: root, namespaces: map[string]bool{}}
			commands := w.commands()
			maps.Copy(commands, w.traffic())
			maps.Copy(commands, w.rates())
			maps.Copy(commands, w.cni())
			maps.Copy(commands, w.podman())
			t.Run("story", func(t *testing.T) {
				testscript.Run(t, testscript.Params{
					Files: []string{file},
					Cmds:  commands,
					Setup: func(e *testscript.Env) error {
						w.dir = e.WorkDir
						run, err := os.MkdirTemp("/run", "e2e")
						if err != nil {
							return err
						}
						w.run = run
						e.Setenv("PATH", bin+":"+e.Getenv("PATH"))
						e.Setenv("RUN", run)
						e.Setenv("CNI_PATH", bin)
						e.Setenv("NETCONFPATH", filepath.Join(e.WorkDir, "net.d"))
						e.Setenv("KUBECONFIG", w.kubeconfig())
						e.Setenv("HOME", e.WorkDir)
						e.Defer(w.end)
						return nil
					},
				})
			})
			noLeaks(t, w)
		})
	}
}

// build builds the programs as `make build` does, and CNI's own tool.
func build(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	for _, args := range [][]string{
		{"build", "-o", bin, "../../cmd/..."},
		{"build", "-modfile", "../../hack/tools/go.mod", "-o", bin, "github.com/containernetworking/cni/cnitool"},
	} {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building: %v\n%s", err, out)
		}
	}
	return bin
}

// processes are those with the story's folder in their command line.
func (w *world) processes() (out []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range all {
		raw, err := os.ReadFile(p)
		if line := strings.ReplaceAll(string(raw), "\x00", " "); err == nil && strings.Contains(line, w.dir) {
			out = append(out, filepath.Dir(p)+" "+line)
		}
	}
	return out
}

// noLeaks fails where a story has left an interface or a process behind.
func noLeaks(t *testing.T, w *world) {
	t.Helper()
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		if i.Name != "lo" {
			t.Errorf("interface %s is left", i.Name)
		}
	}
	for _, p := range w.processes() {
		t.Errorf("a process is left: %s", p)
	}
	if left, err := os.ReadDir(w.run); err == nil {
		t.Errorf("run folder is left with %s", fmt.Sprint(left))
	}
}
