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

// startArcad starts arcad before an engine's containers, with an arca-network of
// its own, and gives its socket. Both end with the test, and OVS and OVN too.
func startArcad(t *testing.T, engine *dockertest.Engine) string {
	t.Helper()
	bin, root := build(t), ovntest.Root(t)
	run, err := os.MkdirTemp("/run", "arcad") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	state, socket := filepath.Join(t.TempDir(), "state"), filepath.Join(run, "arca.sock")
	stack := ovnd.Options{Root: root, Dir: filepath.Join(state, "ovn"), RunDir: filepath.Join(run, "ovn")}
	var log bytes.Buffer
	arcad := exec.Command(filepath.Join(bin, "arcad"), "run", "--log-format", "json", "--listen", "unix://"+socket,
		"--engine", engine.Host, "--arca-network", filepath.Join(bin, "arca-network"),
		"--", "--log-format", "json", "--state-dir", state, "--run-dir", stack.RunDir, "--ovn-root", root)
	arcad.Stdout, arcad.Stderr = &log, &log
	if err := arcad.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = arcad.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = arcad.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("arcad does not end on SIGTERM")
			_ = arcad.Process.Kill()
			<-ended
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := ovnd.Stop(ctx, stack); err != nil {
			t.Errorf("stopping OVS and OVN: %v", err)
		}
		if t.Failed() {
			t.Logf("the last of arcad's log:\n%s", log.Bytes()[max(0, log.Len()-4000):])
		}
	})
	for limit := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) { // nothing tells but an answer
		if ready(socket) {
			return socket
		}
		select {
		case <-ended:
			t.Fatal("arcad ended while it started")
		default:
		}
		if time.Now().After(limit) {
			t.Fatal("arcad does not answer")
		}
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
