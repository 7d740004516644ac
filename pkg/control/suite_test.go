// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"golang.org/x/sync/errgroup"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/config/crd"
	"github.com/vas-solutus/arca-network/controllers"
	"github.com/vas-solutus/arca-network/internal/testns"
	"github.com/vas-solutus/arca-network/internal/worldtest"
	"github.com/vas-solutus/arca-network/pkg/control"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
	"github.com/vas-solutus/arca-network/pkg/store/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		fmt.Fprintln(os.Stderr, serveUntilKilled(dir))
		os.Exit(1)
	}
	ovntest.Main(m)
}

// world is a store, real OVS and OVN, the controllers, the server on a unix
// socket, and a client of it.
type world struct {
	*control.Client
	api    client.WithWatch
	socket string
	server control.Options // what is special about the server
	stop   func()
}

// logger writes errors and what is said at level 0 to the test's log. It does
// not keep t: something may be said after the test's end.
func logger(t testing.TB) logr.Logger {
	if _, fuzzing := t.(*testing.F); fuzzing {
		return logr.Discard() // it may not be asked for its context
	}
	return funcr.New(func(prefix, args string) {
		if t.Context().Err() == nil && (testing.Verbose() || !strings.Contains(args, "Call finished")) {
			t.Log(prefix, args)
		}
	}, funcr.Options{})
}

func newWorld(t *testing.T) *world {
	t.Helper()
	stack := ovntest.Start(t, ovntest.Options(t, logger(t)))
	return startWorld(t, func(ctx context.Context, mgr ctrl.Manager, g *errgroup.Group) error {
		return worldtest.Controllers(ctx, g, mgr, stack.Endpoints(), controllers.Options{}, logger(t))
	})
}

// startWorld starts a store and a server, with whatever setup adds to make
// objects come true.
func startWorld(t testing.TB, setup setup) *world {
	t.Helper()
	return startWorldWith(t, setup, control.Options{})
}

func startWorldWith(t testing.TB, setup setup, server control.Options) *world {
	t.Helper()
	crds, err := crd.All()
	if err != nil {
		t.Fatal(err)
	}
	return startWorldOn(t, storetest.Start(t, crds...), setup, server)
}

// startWorldOn starts a server on a store that is there.
func startWorldOn(t testing.TB, rest *rest.Config, setup setup, server control.Options) *world {
	t.Helper()
	api, err := worldtest.Client(rest)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{api: api, socket: "unix://" + filepath.Join(t.TempDir(), "s"), server: server}
	w.serve(t, rest, setup)
	if w.Client, err = control.Dial(w.socket, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Client.Close() })
	return w
}

func (w *world) serve(t testing.TB, rest *rest.Config, setup setup) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	g := &errgroup.Group{}
	w.stop = func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		w.stop = func() {}
	}
	t.Cleanup(func() { w.stop() })
	if err := serve(ctx, g, rest, w.api, w.socket, w.server, logger(t), setup); err != nil {
		t.Fatal(err)
	}
}

// setup adds what makes objects come true.
type setup func(context.Context, ctrl.Manager, *errgroup.Group) error

// serve runs the server and what setup adds, until ctx is done.
func serve(ctx context.Context, g *errgroup.Group, rest *rest.Config, api client.WithWatch, socket string, o control.Options, log logr.Logger, setup setup) error {
	mgr, err := worldtest.Manager(rest, api.Scheme(), log)
	if err != nil {
		return err
	}
	if err := setup(ctx, mgr, g); err != nil {
		return err
	}
	o.Log = log
	if err := worldtest.Control(ctx, g, mgr, api, socket, o); err != nil {
		return err
	}
	g.Go(func() error { return mgr.Start(ctx) })
	return nil
}

// within bounds a call.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

const patience = 30 * time.Second

// network makes one that is to be had.
func (w *world) network(t testing.TB, id string, subnets ...string) *controlpb.CreateBridgeResponse {
	t.Helper()
	r := &controlpb.CreateBridgeRequest{NetworkId: id}
	for _, s := range subnets {
		r.Subnets = append(r.Subnets, &controlpb.Subnet{Cidr: s})
	}
	res, err := w.CreateBridge(within(t, patience), r)
	if err != nil {
		t.Fatalf("network %s: %v", id, err)
	}
	return res
}

func (w *world) attach(t testing.TB, r *controlpb.AttachContainerRequest) *controlpb.AttachContainerResponse {
	t.Helper()
	res, err := w.AttachContainer(within(t, patience), r)
	if err != nil {
		t.Fatalf("attaching %s: %v", r.ContainerId, err)
	}
	return res
}

// tap asks for an attachment that needs no namespace.
func tap(container, network string) *controlpb.AttachContainerRequest {
	return &controlpb.AttachContainerRequest{ContainerId: container, NetworkId: network, Interface: &controlpb.Interface{Type: "Internal"}}
}

func wantCode(t testing.TB, err error, want codes.Code) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("got %v, want %v", err, want)
	}
}

// wantFields wants an error that names exactly these fields.
func wantFields(t testing.TB, err error, code codes.Code, want ...string) {
	t.Helper()
	wantCode(t, err, code)
	var got []string
	for _, d := range status.Convert(err).Details() {
		if b, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range b.GetFieldViolations() {
				got = append(got, v.GetField())
			}
		}
	}
	slices.Sort(got)
	got = slices.Compact(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("fields %q, want %q: %v", got, want, err)
	}
}

// reason is the reason in an error's ErrorInfo.
func reason(err error) string {
	for _, d := range status.Convert(err).Details() {
		if i, ok := d.(*errdetails.ErrorInfo); ok {
			return i.GetReason()
		}
	}
	return ""
}

// count counts the objects of all kinds.
func (w *world) count(t testing.TB) (n int) {
	t.Helper()
	for _, list := range []client.ObjectList{&v1alpha1.NetworkList{}, &v1alpha1.AttachmentList{}, &v1alpha1.PolicyList{}} {
		if err := w.api.List(within(t, patience), list); err != nil {
			t.Fatal(err)
		}
		switch l := list.(type) {
		case *v1alpha1.NetworkList:
			n += len(l.Items)
		case *v1alpha1.AttachmentList:
			n += len(l.Items)
		case *v1alpha1.PolicyList:
			n += len(l.Items)
		}
	}
	return n
}

// netns makes a network namespace for the time of the test, and returns its path.
func netns(t *testing.T, name string) string {
	t.Helper()
	if err := testns.Make(name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := testns.Remove(name); err != nil {
			t.Error(err)
		}
	})
	return testns.Path(name)
}
