// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/config/crd"
	"github.com/vas-solutus/arca-network/pkg/control"
	"github.com/vas-solutus/arca-network/pkg/store/storetest"
)

// late has watches tell everything a moment later than it was written.
func late(c *rest.Config) *rest.Config {
	c = rest.CopyConfig(c)
	c.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			res, err := next.RoundTrip(r)
			if err == nil && r.URL.Query().Get("watch") != "" {
				res.Body = lateBody{res.Body}
			}
			return res, err
		})
	})
	return c
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type lateBody struct{ io.ReadCloser }

func (b lateBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	time.Sleep(50 * time.Millisecond)
	return n, err
}

func startLateWorld(t *testing.T, setup setup) *world {
	t.Helper()
	crds, err := crd.All()
	if err != nil {
		t.Fatal(err)
	}
	return startWorldOn(t, late(storetest.Start(t, crds...)), setup, control.Options{})
}

// What a Sync has written the next one knows, and so does whoever lists: it is not
// taken for what it was before.
func TestSyncIsSeen(t *testing.T) {
	t.Parallel()
	w := startLateWorld(t, nobody)
	version := ""
	for i, mtu := range []int32{1400, 1401, 1400, 1401} {
		r := &controlpb.SyncRequest{Manager: "arcad", Networks: []*controlpb.CreateBridgeRequest{
			{NetworkId: "n", Subnet: "10.0.0.0/16", Mtu: proto.Int32(mtu)},
		}}
		if _, err := w.Sync(within(t, patience), r); err != nil {
			t.Fatal(err)
		}
		n := &v1alpha1.Network{}
		if err := w.api.Get(within(t, patience), client.ObjectKey{Name: "n"}, n); err != nil {
			t.Fatal(err)
		}
		if *n.Spec.MTU != mtu {
			t.Errorf("Sync %d: stored is %d, want %d", i, *n.Spec.MTU, mtu)
		}
		list, err := w.ListBridges(within(t, patience), &controlpb.ListBridgesRequest{Unless: version})
		if err != nil {
			t.Fatal(err)
		}
		if list.GetUnchanged() || list.GetBridges()[0].GetMtu() != mtu {
			t.Errorf("Sync %d: the list is %v, want MTU %d", i, list, mtu)
		}
		version = list.GetVersion()
	}
}

// A change is made though the cache says that it is so already: somebody else has
// changed the object since.
func TestUpdateOfWhatIsOld(t *testing.T) {
	t.Parallel()
	w := startLateWorld(t, atOnce)
	w.network(t, "n", "10.1.0.0/24")
	first := tap("c", "n")
	first.Hostname = "a"
	w.attach(t, first)
	o := &v1alpha1.Attachment{}
	if err := w.api.Get(within(t, patience), client.ObjectKey{Name: "c.n"}, o); err != nil {
		t.Fatal(err)
	}
	o.Spec.Container.Name = "b"
	if err := w.api.Update(within(t, patience), o); err != nil {
		t.Fatal(err)
	}
	if _, err := w.UpdateContainer(within(t, patience), &controlpb.UpdateContainerRequest{ContainerId: "c", NetworkId: "n", Hostname: proto.String("a")}); err != nil {
		t.Fatal(err)
	}
	if err := w.api.Get(within(t, patience), client.ObjectKeyFromObject(o), o); err != nil {
		t.Fatal(err)
	}
	if o.Spec.Container.Name != "a" {
		t.Errorf("stored is %q, want a", o.Spec.Container.Name)
	}
}
