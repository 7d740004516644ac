// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dockertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience bounds each wait for a daemon and each command of the client.
const patience = 60 * time.Second

// Options are those of an engine.
type Options struct {
	// Flags are more flags of dockerd.
	Flags []string
}

// Engine is a Docker Engine that runs for one test, or for the bench.
type Engine struct {
	// Socket is where it listens; Host is the same in DOCKER_HOST's form.
	Socket, Host string
	// Version and APIVersion are what it says of itself.
	Version, APIVersion string

	bin, dir, run string // programs; data and logs; sockets
	cgroup        string
	flags         []string
	containerd    *daemon
	dockerd       *daemon
	http          *http.Client
}

// Start starts an engine, which is stopped at the test's end with all of its
// containers. A test that cannot have one fails.
func Start(t testing.TB, o Options) *Engine {
	t.Helper()
	e, err := start(t, o)
	if err != nil {
		t.Fatalf("starting a Docker Engine: %v", err)
	}
	t.Logf("Docker Engine %s, API %s", e.Version, e.APIVersion)
	return e
}

func start(t testing.TB, o Options) (*Engine, error) {
	e, err := prepare(t.TempDir(), o)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		for _, err := range e.stop() {
			t.Errorf("stopping the Docker Engine: %v", err)
		}
		if t.Failed() {
			t.Logf("dockerd's last words:\n%s", e.dockerd.tail())
		}
	})
	return e, e.begin()
}

// New starts an engine outside of a test, with its data in an empty folder. Who
// calls it calls Stop.
func New(dir string, o Options) (*Engine, error) {
	e, err := prepare(dir, o)
	if err != nil {
		return nil, err
	}
	if err := e.begin(); err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return e, nil
}

// Stop ends an engine of New, with all of its containers.
func (e *Engine) Stop() error { return errors.Join(e.stop()...) }

// prepare makes what an engine needs before it is started.
func prepare(dir string, o Options) (*Engine, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	run, err := os.MkdirTemp("/run", "docker-") // a test's own folder is too long for a socket
	if err != nil {
		return nil, err
	}
	e := &Engine{
		Socket: filepath.Join(run, "docker.sock"),
		bin:    bin,
		dir:    dir,
		run:    run,
		cgroup: filepath.Base(run),
		flags:  o.Flags,
	}
	e.Host = "unix://" + e.Socket
	e.http = &http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", e.Socket)
			},
		},
	}
	return e, nil
}

// begin starts the daemons, and makes the image.
func (e *Engine) begin() (err error) {
	if err := e.writeConfig(); err != nil {
		return err
	}
	if e.containerd, err = e.startContainerd(); err != nil {
		return err
	}
	if e.dockerd, err = e.startDockerd(); err != nil {
		return err
	}
	var v struct{ Version, ApiVersion string }
	if err := e.get("/version", &v); err != nil {
		return err
	}
	e.Version, e.APIVersion = v.Version, v.ApiVersion
	if err := e.importImage(); err != nil {
		return fmt.Errorf("making image %s: %w", Image, err)
	}
	return nil
}

// Crash kills dockerd, as kill -9 does. containerd and the containers go on.
func (e *Engine) Crash(t testing.TB) {
	t.Helper()
	if err := e.dockerd.kill(); err != nil {
		t.Fatalf("killing dockerd: %v", err)
	}
}

// Terminate ends dockerd cleanly, which stops the containers.
func (e *Engine) Terminate(t testing.TB) {
	t.Helper()
	if err := e.dockerd.terminate(); err != nil {
		t.Fatalf("ending dockerd: %v", err)
	}
}

// Restart starts dockerd again after Crash or Terminate.
func (e *Engine) Restart(t testing.TB) {
	t.Helper()
	next, err := e.startDockerd()
	if err != nil {
		t.Fatalf("starting dockerd again: %v", err)
	}
	e.dockerd = next
}

// PID is dockerd's process.
func (e *Engine) PID() int { return e.dockerd.cmd.Process.Pid }

// Log is what dockerd wrote.
func (e *Engine) Log() string {
	raw, err := os.ReadFile(e.dockerd.log)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// endTimeout is how long processes of a containerd that has ended may go on.
const endTimeout = 5 * time.Second

// stop ends all that Start began, in any state, and tells what would not end.
func (e *Engine) stop() (errs []error) {
	note := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	if e.dockerd.runs() {
		note("removing containers", e.removeContainers())
		note("ending dockerd", e.dockerd.terminate())
	}
	if e.containerd.runs() {
		note("ending containerd", e.containerd.terminate())
	}
	// What containerd has told a shim to delete ends by itself, and tells nobody.
	for limit := time.Now().Add(endTimeout); len(e.processes()) > 0 && time.Now().Before(limit); {
		time.Sleep(10 * time.Millisecond)
	}
	for _, pid := range e.processes() {
		note("a process is left", fmt.Errorf("%s", pid))
	}
	note("unmounting", e.unmount())
	note("removing cgroups", e.removeCgroups())
	note("removing "+e.run, os.RemoveAll(e.run))
	return errs
}

// removeContainers saves the ten seconds that each may take to stop.
func (e *Engine) removeContainers() error {
	var all []struct{ Id string }
	if err := e.get("/containers/json?all=1", &all); err != nil {
		return err
	}
	for _, c := range all {
		if err := e.do(http.MethodDelete, "/containers/"+c.Id+"?force=1&v=1", "", nil, nil); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) get(path string, into any) error {
	return e.do(http.MethodGet, path, "", nil, into)
}

// do asks the engine, and decodes its answer where into is not nil.
func (e *Engine) do(method, path, contentType string, body io.Reader, into any) error {
	req, err := http.NewRequest(method, "http://docker"+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := e.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= 300 || strings.Contains(string(raw), `"errorDetail"`) {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, raw)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(raw, into)
}
