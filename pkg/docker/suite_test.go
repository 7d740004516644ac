// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
	kclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/config/crd"
	"github.com/vas-solutus/arca-network/controllers"
	"github.com/vas-solutus/arca-network/internal/testns"
	"github.com/vas-solutus/arca-network/internal/worldtest"
	"github.com/vas-solutus/arca-network/pkg/control"
	"github.com/vas-solutus/arca-network/pkg/control/transport"
	"github.com/vas-solutus/arca-network/pkg/docker"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
	"github.com/vas-solutus/arca-network/pkg/store/storetest"
)

func TestMain(m *testing.M) {
	if addresses := os.Getenv(childAddresses); addresses != "" {
		fmt.Fprintln(os.Stderr, serveUntilKilled(addresses))
		os.Exit(1)
	}
	ovntest.Main(m)
}

const patience = 30 * time.Second

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// logger writes to the test's log, as long as the test runs.
func logger(t testing.TB) logr.Logger {
	return funcr.New(func(prefix, args string) {
		if t.Context().Err() == nil && (testing.Verbose() || strings.Contains(args, `"error"`)) {
			t.Log(prefix, args)
		}
	}, funcr.Options{})
}

// world is a store, OVS and OVN, the controllers, the control API, and the Docker
// API with the official client of it.
type world struct {
	*client.Client
	api     kclient.WithWatch
	control *control.Client
	engine  containers
	socket  string
	target  string // of the control API
	log     logr.Logger
	stop    func()
}

// containers is an engine with these.
type containers map[string]docker.Container

func (c containers) Container(_ context.Context, nameOrID string) (docker.Container, error) {
	for _, have := range c {
		if nameOrID != "" && (have.Name == nameOrID || strings.HasPrefix(have.ID, nameOrID)) {
			return have, nil
		}
	}
	return docker.Container{}, docker.ErrNoSuchContainer
}

func (c containers) Endpoints(_ context.Context, on string) (map[string]network.EndpointResource, error) {
	out := map[string]network.EndpointResource{}
	for id, have := range c {
		if have.NetworkMode == on {
			out[id] = network.EndpointResource{Name: have.Name}
		}
	}
	return out, nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{log: logger(t), engine: containers{}, socket: filepath.Join(t.TempDir(), "d")}
	stack := ovntest.Start(t, ovntest.Options(t, w.log))
	crds, err := crd.All()
	if err != nil {
		t.Fatal(err)
	}
	rest := storetest.Start(t, crds...)
	if w.api, err = worldtest.Client(rest); err != nil {
		t.Fatal(err)
	}
	mgr, err := worldtest.Manager(rest, w.api.Scheme(), w.log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var g errgroup.Group
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
	w.target = "unix://" + filepath.Join(t.TempDir(), "c")
	if err := worldtest.Controllers(ctx, &g, mgr, stack.Endpoints(), controllers.Options{}, w.log); err != nil {
		t.Fatal(err)
	}
	if err := worldtest.Control(ctx, &g, mgr, w.api, w.target, control.Options{Log: logr.Discard()}); err != nil {
		t.Fatal(err)
	}
	g.Go(func() error { return mgr.Start(ctx) })
	if w.control, err = control.Dial(w.target, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.control.Close() })
	if w.Client, err = client.New(client.WithHost("unix://" + w.socket)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Client.Close() })
	w.serve(t)
	t.Cleanup(func() { w.stop() })
	return w
}

// serve starts a Docker API that knows nothing.
func (w *world) serve(t *testing.T) {
	t.Helper()
	l, err := transport.Listen(t.Context(), "unix://"+w.socket, transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := docker.NewServer(docker.Options{Control: w.control, Engine: w.engine, Version: "test", Log: w.log})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		w.stop = func() {}
	}
}

// container makes a namespace, and a container of the engine in it.
func (w *world) container(t *testing.T, name string) docker.Container {
	t.Helper()
	if err := testns.Make(name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := testns.Remove(name); err != nil {
			t.Error(err)
		}
	})
	c := docker.Container{ID: docker.DerivedID(t.Name() + name), Name: name, Running: true, Netns: testns.Path(name), NetworkMode: "none"}
	c.Hostname = c.ID[:12]
	w.engine[c.ID] = c
	return c
}

// answer is what came back of a raw request.
type answer struct {
	status int
	header http.Header
	body   string
}

// send sends a request as it is.
func (w *world) send(t testing.TB, method, path, contentType, body string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(within(t, patience), method, "http://d"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	h := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", w.socket)
	}}}
	res, err := h.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(all)}
}

// refused wants an answer with an error, to the letter.
func (w *world) refused(t testing.TB, method, path, body string, code int, message string) {
	t.Helper()
	contentType := "application/json"
	if body == "" {
		contentType = ""
	}
	got := w.send(t, method, path, contentType, body)
	want, err := json.Marshal(map[string]string{"message": message})
	if err != nil {
		t.Fatal(err)
	}
	var have, wanted map[string]string
	if json.Unmarshal([]byte(got.body), &have) != nil || json.Unmarshal(want, &wanted) != nil || got.status != code || fmt.Sprint(have) != fmt.Sprint(wanted) {
		t.Errorf("%s %s %.200s\nanswered %d %.500s\nwant     %d %s", method, path, body, got.status, got.body, code, want)
	}
}
