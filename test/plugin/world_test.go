// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/internal/dockertest"
	"github.com/vas-solutus/arca-network/pkg/control"
	"github.com/vas-solutus/arca-network/pkg/docker/plugin"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
	"github.com/vas-solutus/arca-network/pkg/topology"
	"github.com/vas-solutus/arca-network/pkg/vnet"
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
	docker  *plugin.DockerEngine
	// fronted: arcad serves Docker's API in front of the engine.
	fronted bool
}

// newWorld starts all of it; flags are dockerd's.
func newWorld(t *testing.T, flags ...string) *world {
	t.Helper()
	w := &world{T: t, bin: build(t), daemons: ovntest.Options(t, logr.Discard())}
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
	w.arcad = w.start("arcad", "plugin", "--target", w.target(), "--engine", "unix://"+w.socket())
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

// refuses runs a docker command that must fail with a text.
func (w *world) refuses(text string, args ...string) {
	w.Helper()
	out, err := w.engine.DockerAt(w.Context(), w.engine.Host, args...)
	if err == nil || !strings.Contains(err.Error(), text) {
		w.Errorf("docker %s: %v %s; want an error with %q", strings.Join(args, " "), err, out, text)
	}
}

// inspect reads a part of `docker inspect`.
func (w *world) inspect(of, format string) string {
	w.Helper()
	return w.run("inspect", "-f", format, of)
}

// endpoint is what each of the three says of an endpoint.
type endpoint struct{ id, address, mac string }

func byID(a, b endpoint) int { return strings.Compare(a.id+a.mac, b.id+b.mac) }

// ofEngine are the endpoints that the engine has.
func (w *world) ofEngine(ctx context.Context) ([]endpoint, error) {
	list, err := w.engine.DockerAt(ctx, w.engine.Host, "network", "ls", "-q", "--no-trunc", "--filter", "driver=arca")
	if err != nil {
		return nil, err
	}
	var out []endpoint
	for id := range strings.FieldsSeq(list) {
		raw, err := w.engine.DockerAt(ctx, w.engine.Host, "network", "inspect", id)
		if err != nil {
			return nil, err
		}
		var networks []struct {
			Containers map[string]struct{ EndpointID, MacAddress, IPv4Address string }
		}
		if err := json.Unmarshal([]byte(raw), &networks); err != nil {
			return nil, err
		}
		for _, c := range networks[0].Containers {
			out = append(out, endpoint{c.EndpointID, c.IPv4Address, c.MacAddress})
		}
	}
	slices.SortFunc(out, byID)
	return out, nil
}

// attachments are all objects.
func (w *world) attachments(ctx context.Context) (out []*controlpb.ContainerNetwork, err error) {
	networks, err := w.client.ListBridges(ctx, &controlpb.ListBridgesRequest{})
	if err != nil {
		return nil, err
	}
	for _, n := range networks.GetBridges() {
		list, err := w.client.GetContainerNetworks(ctx, &controlpb.GetContainerNetworksRequest{NetworkId: n.GetNetworkId()})
		if err != nil {
			return nil, err
		}
		out = append(out, list.GetNetworks()...)
	}
	return out, nil
}

// agree tells where the engine, the objects, OVN and the host's interfaces differ.
func (w *world) agree() error {
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	engine, err := w.ofEngine(ctx)
	if err != nil {
		return err
	}
	list, err := w.attachments(ctx)
	if err != nil {
		return err
	}
	var objects []endpoint
	ports, links := map[string]bool{}, map[string]bool{}
	for _, a := range list {
		v4 := ""
		for _, s := range a.GetAddresses() {
			if !strings.Contains(s, ":") {
				v4 = s
			}
		}
		objects = append(objects, endpoint{a.GetAnnotations()["docker.network.arca.dev/endpoint-id"], v4, a.GetMacAddress()})
		ports["port/"+a.GetUid()] = true
		links[a.GetInterface().GetName()] = true
	}
	slices.SortFunc(objects, byID)
	if !slices.Equal(engine, objects) {
		return fmt.Errorf("the engine has endpoints %v, the objects %v", engine, objects)
	}
	rows, err := ovnd.Tool(ctx, w.daemons, "ovn-nbctl", "--db=unix:"+filepath.Join(w.daemons.RunDir, "db.sock"), "--timeout=20", "--bare", "--columns=name", "find", "Logical_Switch_Port", "external_ids:arca-owner-kind="+topology.KindAttachment)
	if err != nil {
		return err
	}
	if got := len(strings.Fields(string(rows))); got != len(objects) {
		return fmt.Errorf("OVN has %d ports of attachments (%s), there are %d attachments", got, rows, len(objects))
	}
	pairs, err := vnet.Handovers()
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for _, p := range pairs {
		have[p.Outer] = true
	}
	if !maps.Equal(have, links) {
		return fmt.Errorf("the host has interfaces %v, the objects %v", have, links)
	}
	if w.fronted {
		return nil // the engine has shadows of those that a container wanted
	}
	known, err := w.docker.Endpoints(ctx)
	if err != nil {
		return err
	}
	networks, err := w.client.ListBridges(ctx, &controlpb.ListBridgesRequest{})
	if err != nil {
		return err
	}
	for _, n := range networks.GetBridges() {
		if _, ok := known[n.GetNetworkId()]; !ok {
			return fmt.Errorf("network %s is an object and not one of the engine's", n.GetNetworkId())
		}
	}
	if len(known) != len(networks.GetBridges()) {
		return fmt.Errorf("the engine has %d networks, there are %d objects", len(known), len(networks.GetBridges()))
	}
	return nil
}

// mustAgree waits for no longer than a late event takes.
func (w *world) mustAgree() {
	w.Helper()
	w.eventually(w.agree)
}

// answers asks what is published on the host, which says its name.
func answers(address string) (string, error) {
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	buf := make([]byte, 64)
	n, err := c.Read(buf)
	return strings.TrimSpace(string(buf[:n])), err
}

// published waits until a port of the host leads to a container.
func (w *world) published(address, name string) {
	w.Helper()
	w.eventually(func() error {
		got, err := answers(address)
		if err == nil && got != name {
			err = fmt.Errorf("%s answers", got)
		}
		return err
	})
}

// unpublished fails where a port of the host still leads somewhere.
func (w *world) unpublished(address string) {
	w.Helper()
	if got, err := answers(address); err == nil {
		w.Errorf("%s still answers: %s", address, got)
	}
}
