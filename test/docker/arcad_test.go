// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/vas-solutus/arca-network/internal/dockertest"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
)

// arcad runs before an engine's containers, and is their driver.
type arcad struct {
	*exec.Cmd
	log   bytes.Buffer
	ended chan struct{}
	stack ovnd.Options
}

// startArcad starts an engine, with more flags of dockerd, and arcad in front of
// it with an arca-network of its own. It gives the engine and arcad's socket. All
// ends with the test, OVS and OVN too.
func startArcad(t *testing.T, flags ...string) (engine *dockertest.Engine, socket string) {
	t.Helper()
	bin, root := build(t), ovntest.Root(t)
	run, err := os.MkdirTemp("/run", "arcad") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(run, "arca.sock")
	state, behind := filepath.Join(t.TempDir(), "state"), filepath.Join(run, "engine.sock")
	a := &arcad{
		ended: make(chan struct{}),
		stack: ovnd.Options{Root: root, Dir: filepath.Join(state, "ovn"), RunDir: filepath.Join(run, "ovn")},
	}
	a.Cmd = exec.Command(filepath.Join(bin, "arcad"), "run", "--log-format", "json", "--listen", "unix://"+socket,
		"--engine", "unix://"+behind, "--plugin-socket", "unix:///run/docker/plugins/arca.sock", "--arca-network", filepath.Join(bin, "arca-network"),
		"--", "--log-format", "json", "--state-dir", state, "--run-dir", a.stack.RunDir, "--ovn-root", root)
	a.Stdout, a.Stderr = &a.log, &a.log
	// The engine ends before: it asks its driver about each container that it removes.
	t.Cleanup(func() { a.stop(t) })
	engine = dockertest.Start(t, dockertest.Options{Flags: flags})
	// By a name of our own: the engine takes whoever names its folder for one of its
	// processes that is left.
	if err := os.Symlink(engine.Socket, behind); err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = a.Wait(); close(a.ended) }()
	for limit := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) { // nothing tells but an answer
		if ready(socket) {
			return engine, socket
		}
		select {
		case <-a.ended:
			t.Fatal("arcad ended while it started")
		default:
		}
		if time.Now().After(limit) {
			t.Fatal("arcad does not answer")
		}
	}
}

// stop ends arcad, if it was started, and OVS and OVN.
func (a *arcad) stop(t *testing.T) {
	if a.Process == nil {
		return
	}
	_ = a.Process.Signal(syscall.SIGTERM)
	select {
	case <-a.ended:
	case <-time.After(patience):
		t.Error("arcad does not end on SIGTERM")
		_ = a.Process.Kill()
		<-a.ended
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := ovnd.Stop(ctx, a.stack); err != nil {
		t.Errorf("stopping OVS and OVN: %v", err)
	}
	if t.Failed() {
		t.Logf("the last of arcad's log:\n%s", a.log.Bytes()[max(0, a.log.Len()-4000):])
	}
}

// ready tells whether the network that arcad makes for itself can be inspected.
func ready(socket string) bool {
	resp, err := dial(socket).Get("http://docker/networks/bridge")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// build builds the programs as `make build` does.
func build(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/arcad", "../../cmd/arca-network")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	return bin
}
