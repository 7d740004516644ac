// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/config/crd"
	"github.com/vas-solutus/arca-network/controllers"
	"github.com/vas-solutus/arca-network/internal/worldtest"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
	"github.com/vas-solutus/arca-network/pkg/policy/policytest"
	"github.com/vas-solutus/arca-network/pkg/store/storetest"
)

func TestMain(m *testing.M) { ovntest.Main(m) }

// patience bounds every wait.
const patience = 30 * time.Second

// world is an API, real OVS and OVN, the controllers, and endpoints.
type world struct {
	client.Client
	options  ovnd.Options
	stack    *ovnd.Stack
	networks []*v1alpha1.Network
	hosts    []policytest.Host
	spaces   map[string]*space // by endpoint
}

func newWorld(t *testing.T) *world {
	t.Helper()
	crds, err := crd.All()
	if err != nil {
		t.Fatal(err)
	}
	api := storetest.Start(t, crds...)
	api.QPS = -1
	log := logr.Discard()
	if testing.Verbose() {
		log = testr.New(t)
	}
	w := &world{options: ovntest.Options(t, log), spaces: map[string]*space{}}
	w.stack = ovntest.Start(t, w.options)
	objects, err := worldtest.Client(api)
	if err != nil {
		t.Fatal(err)
	}
	w.Client = objects
	mgr, err := worldtest.Manager(api, w.Scheme(), log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := errgroup.Group{}
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
	if err := worldtest.Controllers(ctx, &g, mgr, w.stack.Endpoints(), controllers.Options{}, log); err != nil {
		t.Fatal(err)
	}
	g.Go(func() error { return mgr.Start(ctx) })
	return w
}

// network creates a network with subnets and waits for it.
func (w *world) network(t *testing.T, name string, separated bool, cidrs ...string) *v1alpha1.Network {
	t.Helper()
	n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, c := range cidrs {
		n.Spec.Subnets = append(n.Spec.Subnets, v1alpha1.Subnet{CIDR: c})
	}
	if separated {
		no := false
		n.Spec.InterContainer = &no
	}
	w.create(t, n)
	w.ready(t, n)
	w.networks = append(w.networks, n)
	gateway := policytest.Host{Name: "gateway of " + name, Network: name, IsGateway: true}
	for _, s := range n.Status.Subnets {
		gateway.Addresses = append(gateway.Addresses, netip.MustParseAddr(s.Gateway))
	}
	w.hosts = append(w.hosts, gateway)
	return n
}

// endpoint creates a network namespace and its attachment.
func (w *world) endpoint(t *testing.T, name, network string, labels map[string]string) policytest.Host {
	t.Helper()
	w.spaces[name] = newSpace(t, name)
	a := &v1alpha1.Attachment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: v1alpha1.AttachmentSpec{
			Network: network, Interface: v1alpha1.Interface{Type: v1alpha1.InterfaceVeth, Netns: "/run/netns/" + name},
		},
	}
	w.create(t, a)
	t.Cleanup(func() {
		// While the namespace is there still.
		_ = w.Delete(context.Background(), a)
		for limit := time.Now().Add(patience); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
			if client.IgnoreNotFound(w.Get(context.Background(), client.ObjectKeyFromObject(a), a)) == nil && a.DeletionTimestamp.IsZero() {
				return
			}
			if err := w.Get(context.Background(), client.ObjectKeyFromObject(a), a); err != nil {
				return
			}
		}
	})
	w.ready(t, a)
	h := policytest.Host{Name: name, Network: network, Labels: labels, MAC: a.Status.MAC}
	for _, s := range a.Status.Addresses {
		h.Addresses = append(h.Addresses, netip.MustParsePrefix(s).Addr())
	}
	w.hosts = append(w.hosts, h)
	return h
}

// policy creates one from the YAML of its spec.
func (w *world) policy(t *testing.T, name, spec string) *v1alpha1.Policy {
	t.Helper()
	p := &v1alpha1.Policy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	w.create(t, p)
	return p
}

func (w *world) create(t *testing.T, o client.Object) {
	t.Helper()
	if err := w.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

type conditioned interface {
	client.Object
	GetConditions() *[]metav1.Condition
}

// ready waits until an object is Ready as it is now.
func (w *world) ready(t *testing.T, o conditioned) {
	t.Helper()
	for limit := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		for _, c := range *o.GetConditions() {
			if c.Type == v1alpha1.ConditionReady && c.Status == metav1.ConditionTrue && c.ObservedGeneration == o.GetGeneration() {
				return
			}
		}
		if time.Now().After(limit) {
			t.Fatalf("%s did not become Ready: %+v", o.GetName(), *o.GetConditions())
		}
	}
}

// remove deletes an object and waits until it is gone.
func (w *world) remove(t *testing.T, o client.Object) {
	t.Helper()
	if err := w.Delete(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(patience); w.Get(t.Context(), client.ObjectKeyFromObject(o), o) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%s is still there", o.GetName())
		}
	}
}

// settled waits until the hypervisor has what the northbound database has.
func (w *world) settled(t *testing.T) {
	t.Helper()
	if _, err := ovnd.Tool(t.Context(), w.options, "ovn-nbctl", "--db="+w.stack.Endpoints().NB, "--timeout=20", "--wait=hv", "sync"); err != nil {
		t.Fatal(err)
	}
}
