// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/vas-solutus/arca-network/internal/dockertest"
	"github.com/vas-solutus/arca-network/pkg/control"
	"github.com/vas-solutus/arca-network/pkg/docker/plugin"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
)

func TestMain(m *testing.M) { dockertest.Main(m) }

// patience bounds every wait.
const patience = 90 * time.Second

// world is a machine with an engine and arca networks.
type world struct {
	*testing.T
	bin     string
	daemons ovnd.Options
	engine  *dockertest.Engine
	network *process
	arcad   *process
	client  *control.Client
	// driver is the socket at which arcad serves the driver.
	driver string
	docker *plugin.DockerEngine
	// fronted: arcad serves Docker's API in front of the engine.
	fronted bool
	// supervising: arcad runs arca-network itself, and network is nil.
	supervising bool
}

// newWorld starts all of it; flags are dockerd's.
func newWorld(t *testing.T, flags ...string) *world {
	t.Helper()
	w := &world{T: t, bin: build(t), daemons: ovntest.Options(t, logr.Discard()), driver: "/run/docker/plugins/arca.sock"}
	t.Cleanup(w.down)
	w.startNetwork()
	w.engine = dockertest.Start(t, dockertest.Options{Flags: flags})
	// By a name of our own: the engine takes whoever names its folder for one of its
	// processes that is left.
	if err := os.Symlink(w.engine.Socket, w.socket()); err != nil {
		t.Fatal(err)
	}
	w.startArcad()
	var err error
	if w.client, err = control.Dial(w.target(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.client.Close() })
	if w.docker, err = plugin.NewDockerEngine(w.engine.Host); err != nil {
		t.Fatal(err)
	}
	return w
}

// build builds the programs as `make build` does.
func build(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	cmd := exec.Command("go", "build", "-o", bin, "../../cmd/arca-network", "../../cmd/arcad")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	return bin
}

// process is one of our programs.
type process struct {
	*exec.Cmd
	log string
}

func (w *world) start(name string, args ...string) *process {
	w.Helper()
	p := &process{Cmd: exec.Command(filepath.Join(w.bin, name), args...), log: filepath.Join(w.daemons.Dir, name+".log")}
	if err := os.MkdirAll(w.daemons.Dir, 0o755); err != nil {
		w.Fatal(err)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	p.Stdout, p.Stderr = log, log
	if err := p.Start(); err != nil {
		w.Fatal(err)
	}
	return p
}

// kill is kill -9.
func (p *process) kill() {
	if p != nil && p.ProcessState == nil {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
}

func (p *process) tail() string {
	if p == nil {
		return "(it was not started)"
	}
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-6000):])
}

func (w *world) socket() string { return filepath.Join(w.daemons.RunDir, "engine.sock") }

func (w *world) target() string { return "unix://" + filepath.Join(w.daemons.RunDir, "control.sock") }

func (w *world) flags() []string {
	return []string{"--state-dir", filepath.Dir(w.daemons.Dir), "--run-dir", w.daemons.RunDir, "--ovn-root", w.daemons.Root}
}

func (w *world) startNetwork() {
	w.network = w.start("arca-network", append([]string{"run"}, w.flags()...)...)
}

func (w *world) startArcad() {
	w.arcad = w.start("arcad", "plugin", "--socket", "unix://"+w.driver, "--target", w.target(), "--engine", "unix://"+w.socket())
}

// down ends all that is ours; the engine has ended by then.
func (w *world) down() {
	if w.Failed() {
		w.Logf("arcad says:\n%s\narca-network says:\n%s", w.arcad.tail(), w.network.tail())
	}
	_ = os.Remove(w.socket())
	w.arcad.kill()
	w.network.kill()
	if out, err := exec.Command(filepath.Join(w.bin, "arca-network"), append([]string{"down"}, w.flags()...)...).CombinedOutput(); err != nil {
		w.Errorf("arca-network down: %v\n%s", err, out)
	}
}

// eventually asks until it is so: what other processes do tells nobody here.
func (w *world) eventually(check func() error) {
	w.Helper()
	limit := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(limit) {
			w.Fatalf("still not so after %s: %v", patience, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (w *world) run(args ...string) string {
	w.Helper()
	return w.engine.Docker(w.T, args...)
}

// attempt runs a docker command that may fail.
func (w *world) attempt(args ...string) (string, error) {
	return w.engine.DockerAt(w.Context(), w.engine.Host, args...)
}

// refuses runs a docker command that must fail with a text.
func (w *world) refuses(text string, args ...string) {
	w.Helper()
	out, err := w.attempt(args...)
	if err == nil || !strings.Contains(err.Error(), text) {
		w.Errorf("docker %s: %v %s; want an error with %q", strings.Join(args, " "), err, out, text)
	}
}

// inspect reads a part of `docker inspect`.
func (w *world) inspect(of, format string) string {
	w.Helper()
	return w.run("inspect", "-f", format, of)
}
