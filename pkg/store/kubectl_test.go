// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vas-solutus/arca-network/pkg/store"
)

// assets is where hack/envtest-assets.sh leaves its programs.
const assets = "../../bin/envtest"

func findKubectl(t *testing.T) string {
	t.Helper()
	if built, err := filepath.Abs(filepath.Join(assets, "kubectl")); err == nil {
		if _, err := os.Stat(built); err == nil {
			return built
		}
	}
	path, err := exec.LookPath("kubectl")
	if err != nil {
		t.Fatalf("no kubectl in %s nor in PATH: run `make envtest-assets` (%v)", assets, err)
	}
	return path
}

func TestKubectl(t *testing.T) {
	kubectl := findKubectl(t)
	t.Logf("with %s", kubectl)
	s := startStore(t, store.Options{Dir: t.TempDir()})
	defer stopStore(t, s)
	t.Run("scripts", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir: "testdata",
			Setup: func(env *testscript.Env) error {
				env.Setenv("KUBECONFIG", s.KubeconfigPath())
				env.Setenv("HOME", env.WorkDir)
				env.Setenv("PATH", filepath.Dir(kubectl)+":"+env.Getenv("PATH"))
				return nil
			},
		})
	})
	t.Run("get -w", func(t *testing.T) { testKubectlWatch(t, kubectl, s) })
}

// The lines of a watch come as things happen.
func testKubectlWatch(t *testing.T, kubectl string, s *store.Store) {
	client := widgetClient(t, s.Config())
	createWidgets(t, client, 0, 1)
	cmd := exec.CommandContext(testContext(t), kubectl, "get", "wd", "-w", "--no-headers", "--output-watch-events")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.KubeconfigPath(), "HOME="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	lines := bufio.NewScanner(out)
	expect := func(event, name string, size int) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("kubectl ended, want %s %s", event, name)
		}
		if got := strings.Fields(lines.Text()); len(got) < 3 || got[0] != event || got[1] != name || got[2] != fmt.Sprint(size) {
			t.Fatalf("kubectl printed %q, want %s %s %d", lines.Text(), event, name, size)
		}
	}
	expect("ADDED", "w-0", 1)
	createWidgets(t, client, 1, 2)
	expect("ADDED", "w-1", 1)
	object, err := client.Get(testContext(t), "w-1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	object.Object["spec"] = map[string]any{"size": int64(2)}
	if _, err := client.Update(testContext(t), object, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	expect("MODIFIED", "w-1", 2)
	if err := client.Delete(testContext(t), "w-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	expect("DELETED", "w-1", 2)
}
