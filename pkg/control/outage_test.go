// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/config/crd"
	"github.com/vas-solutus/arca-network/pkg/control"
	"github.com/vas-solutus/arca-network/pkg/store"
	"github.com/vas-solutus/arca-network/pkg/store/storetest"
)

// While the store is down every call says so, reads too; when it is back all
// goes on by itself, and what was acknowledged is there.
func TestStoreDown(t *testing.T) {
	t.Parallel() // it waits more than it works
	for name, start := range map[string]func(*testing.T) (*rest.Config, *storetest.Daemon){
		"etcd": onEtcd, "kube-apiserver": onKubernetes,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, daemon := start(t)
			w := startWorldOn(t, config, atOnce, control.Options{})
			w.network(t, "n", "10.9.0.0/24")
			w.attach(t, tap("c", "n"))
			w.syncNothingNew(t)
			for _, fault := range []struct {
				name     string
				down, up func()
			}{
				{"killed", daemon.Kill, daemon.Start},
				{"frozen", daemon.Freeze, daemon.Thaw},
			} {
				t.Run(fault.name, func(t *testing.T) { w.outage(t, fault.name, fault.down, fault.up) })
			}
		})
	}
}

func onEtcd(t *testing.T) (*rest.Config, *storetest.Daemon) {
	t.Helper()
	crds, err := crd.All()
	if err != nil {
		t.Fatal(err)
	}
	url, etcd := storetest.StartEtcd(t)
	s, err := store.Start(within(t, time.Minute), store.Options{Dir: t.TempDir(), Endpoint: url, CRDs: crds})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(within(t, time.Minute)); err != nil {
			t.Error(err)
		}
	})
	return s.Config(), etcd
}

func onKubernetes(t *testing.T) (*rest.Config, *storetest.Daemon) {
	t.Helper()
	crds, err := crd.All()
	if err != nil {
		t.Fatal(err)
	}
	env := &envtest.Environment{CRDs: crds}
	server := env.ControlPlane.GetAPIServer()
	server.Path = storetest.Program(t, "kube-apiserver")
	env.ControlPlane.Etcd = &envtest.Etcd{Path: storetest.Program(t, "etcd")}
	// The test's network namespace has no other address to find.
	server.Configure().Append("advertise-address", "192.0.2.1")
	config, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Stop() }) // it misses the process that the test has killed
	config.QPS = -1
	return config, storetest.Child(t, "kube-apiserver")
}

// outage takes the store down under write load, and brings it back.
func (w *world) outage(t *testing.T, name string, down, up func()) {
	h := &held{prefix: name + "-", networks: map[string]string{}, unknown: map[string]bool{}}
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			err := h.write(t.Context(), w.Client, fmt.Sprintf("%s-%d", name, i))
			// DEADLINE_EXCEEDED: what was written then is kept, and waited for.
			if c := status.Code(err); c != codes.Unavailable && c != codes.DeadlineExceeded {
				t.Errorf("the call that met the outage: %v", err)
			}
		})
	}
	follower := w.follow(t, "after-"+name)
	for h.acknowledged() < 4 && !t.Failed() {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond) // the moment is arbitrary
	down()
	w.wantUnavailable(t)
	writers.Wait()
	up()
	for w.syncNothingNewOnce() != nil {
		time.Sleep(50 * time.Millisecond)
		if t.Context().Err() != nil {
			t.Fatal("it did not come back")
		}
	}
	t.Logf("%d networks are acknowledged, of %d nothing is known", len(h.networks), len(h.unknown))
	// The API's clients come back by a back-off of up to half a minute.
	if _, err := w.CreateBridge(within(t, 2*time.Minute), &controlpb.CreateBridgeRequest{NetworkId: "after-" + name}); err != nil {
		t.Error(err)
	}
	if err := <-follower; err != nil {
		t.Errorf("a watch across the outage: %v", err)
	}
	h.verify(t, w.Client)
}

func (w *world) syncNothingNewOnce() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := w.Sync(ctx, wantOfSync())
	return err
}

func wantOfSync() *controlpb.SyncRequest {
	return &controlpb.SyncRequest{Manager: "m", Networks: []*controlpb.CreateBridgeRequest{{NetworkId: "of-m"}}}
}

func (w *world) syncNothingNew(t *testing.T) {
	t.Helper()
	if err := w.syncNothingNewOnce(); err != nil {
		t.Fatal(err)
	}
}

// wantUnavailable makes every call, some of which have nothing to write, while
// the store is down.
func (w *world) wantUnavailable(t *testing.T) {
	t.Helper()
	var wg sync.WaitGroup
	for name, call := range map[string]func(context.Context) error{
		"CreateBridge": func(ctx context.Context) error {
			_, err := w.CreateBridge(ctx, &controlpb.CreateBridgeRequest{NetworkId: "x"})
			return err
		},
		"CreateBridge again": func(ctx context.Context) error {
			_, err := w.CreateBridge(ctx, &controlpb.CreateBridgeRequest{NetworkId: "n", Subnets: []*controlpb.Subnet{{Cidr: "10.9.0.0/24"}}})
			return err
		},
		"DeleteBridge": func(ctx context.Context) error {
			_, err := w.DeleteBridge(ctx, &controlpb.DeleteBridgeRequest{NetworkId: "n"})
			return err
		},
		"DeleteBridge of none": func(ctx context.Context) error {
			_, err := w.DeleteBridge(ctx, &controlpb.DeleteBridgeRequest{NetworkId: "none"})
			return err
		},
		"AttachContainer": func(ctx context.Context) error { _, err := w.AttachContainer(ctx, tap("x", "of-m")); return err },
		"AttachContainer again": func(ctx context.Context) error {
			_, err := w.AttachContainer(ctx, tap("c", "n"))
			return err
		},
		"DetachContainer": func(ctx context.Context) error {
			_, err := w.DetachContainer(ctx, &controlpb.DetachContainerRequest{ContainerId: "c", NetworkId: "n"})
			return err
		},
		"SetNetworkPolicy": func(ctx context.Context) error {
			_, err := w.SetNetworkPolicy(ctx, &controlpb.SetNetworkPolicyRequest{NetworkId: "of-m"})
			return err
		},
		"ListBridges": func(ctx context.Context) error {
			var trailer metadata.MD
			_, err := w.ListBridges(ctx, &controlpb.ListBridgesRequest{}, grpc.Trailer(&trailer))
			if got := trailer.Get("grpc-retry-pushback-ms"); !slices.Equal(got, []string{"-1"}) {
				t.Errorf("clients are told to ask again after %v ms, want -1: not by themselves", got)
			}
			return err
		},
		"GetContainerNetworks": func(ctx context.Context) error {
			_, err := w.GetContainerNetworks(ctx, &controlpb.GetContainerNetworksRequest{ContainerId: "c"})
			return err
		},
		"Sync with nothing new": func(ctx context.Context) error { _, err := w.Sync(ctx, wantOfSync()); return err },
	} {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), impatience)
			defer cancel()
			if err := call(ctx); status.Code(err) != codes.Unavailable {
				t.Errorf("%s: got %v, want %v", name, err, codes.Unavailable)
			}
		})
	}
	wg.Wait()
}

// follow watches until it is told of a network. A stream that ends UNAVAILABLE
// is resumed from its last version, and one that is OUT_OF_RANGE begins anew.
func (w *world) follow(t *testing.T, until string) <-chan error {
	done := make(chan error, 1)
	ctx := within(t, 5*time.Minute)
	go func() {
		version := ""
		for {
			stream, err := w.Watch(ctx, &controlpb.WatchRequest{Version: version})
			for err == nil {
				var e *controlpb.WatchEvent
				if e, err = stream.Recv(); err != nil {
					break
				}
				if e.Version != "" {
					version = e.Version
				}
				if e.GetNetwork().GetNetworkId() == until {
					done <- nil
					return
				}
			}
			switch status.Code(err) {
			case codes.Unavailable:
				time.Sleep(50 * time.Millisecond) // nobody tells when the store is back
			case codes.OutOfRange:
				version = "" // a kube-apiserver has forgotten what was before its start
			default:
				done <- err
				return
			}
		}
	}()
	return done
}
