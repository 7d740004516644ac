// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/config/crd"
	"github.com/vas-solutus/arca-network/controllers"
	"github.com/vas-solutus/arca-network/internal/testns"
	"github.com/vas-solutus/arca-network/internal/worldtest"
	"github.com/vas-solutus/arca-network/pkg/dns"
	"github.com/vas-solutus/arca-network/pkg/hostport"
	"github.com/vas-solutus/arca-network/pkg/nat"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
	"github.com/vas-solutus/arca-network/pkg/store/storetest"
	"github.com/vas-solutus/arca-network/pkg/topology"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

func TestMain(m *testing.M) { ovntest.Main(m) }

// world is an API, real OVS and OVN, and the controllers between them.
type world struct {
	client.WithWatch
	config  *rest.Config
	options ovnd.Options
	stack   *ovnd.Stack
	stop    func()
	// reconcilers is how they are set up, without what they work with.
	reconcilers controllers.Options
}

// newWorld starts one. The API is the embedded store, or with
// ARCA_TEST_API=kube a real kube-apiserver and etcd.
func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, controllers.Options{})
}

func newWorldWith(t *testing.T, o controllers.Options) *world {
	t.Helper()
	crds, err := crd.All()
	if err != nil {
		t.Fatal(err)
	}
	env := &envtest.Environment{CRDs: crds}
	switch api := os.Getenv("ARCA_TEST_API"); api {
	case "kube":
		// The test's network namespace has no other address to find.
		env.ControlPlane.GetAPIServer().Configure().Append("advertise-address", "192.0.2.1")
	case "":
		existing := true
		env = &envtest.Environment{UseExistingCluster: &existing, Config: storetest.Start(t, crds...)}
	default:
		t.Fatalf("ARCA_TEST_API=%s: must be kube or empty", api)
	}
	config, err := env.Start()
	if err != nil {
		t.Fatalf("starting the API (make envtest-assets builds what it needs): %v", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	config.QPS = -1
	w := &world{reconcilers: o, config: config, options: ovntest.Options(t, testr.New(t))}
	w.stack = ovntest.Start(t, w.options)
	t.Cleanup(func() {
		if t.Failed() {
			for _, c := range [][]string{
				{"ovn-nbctl", "list", "Logical_Switch_Port"}, {"ovn-sbctl", "list", "Port_Binding"}, {"ovs-vsctl", "list", "Interface"},
			} {
				out, err := ovnd.Tool(context.Background(), w.options, c[0], append([]string{"--db=" + w.stack.Endpoints().NB}, c[1:]...)...)
				t.Logf("%v: %v\n%s", c, err, out)
			}
		}
	})
	if w.WithWatch, err = worldtest.Client(config); err != nil {
		t.Fatal(err)
	}
	w.run(t)
	t.Cleanup(func() { w.stop() })
	return w
}

// run starts the controllers; stop ends them and leaves all else as it is.
func (w *world) run(t *testing.T) {
	t.Helper()
	log := testr.New(t)
	mgr, err := worldtest.Manager(w.config, w.Scheme(), log)
	if err != nil {
		t.Fatal(err)
	}
	names, err := dns.New(dns.Options{
		Records: dns.NewRecords(), Interface: topology.UplinkInterface, Addresses: topology.UplinkAddresses(),
		ResolvConf: filepath.Join(t.TempDir(), "resolv.conf"), Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o := w.reconcilers
	o.Names, o.Hold = names, w.stack
	uplink := topology.UplinkAddresses()
	rules, err := nat.New(nat.Options{Uplink: topology.UplinkInterface, Addresses: uplink, PortGroup: vnet.LinkGroup, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	o.NAT, o.Sockets = rules, hostport.Host{Except: uplink}
	g := errgroup.Group{}
	if err := worldtest.Controllers(ctx, &g, mgr, w.stack.Endpoints(), o, log); err != nil {
		cancel()
		t.Fatal(err)
	}
	g.Go(func() error { return rules.Run(ctx) })
	g.Go(func() error { return names.Run(ctx) })
	g.Go(func() error { return mgr.Start(ctx) })
	w.stop = func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		w.stop = func() {}
	}
}

// patience bounds every wait.
const patience = 20 * time.Second

// await waits until an object is as is says, and returns it as it is then.
func await[T client.Object](t *testing.T, w *world, o T, what string, is func(T) bool) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := w.Get(ctx, client.ObjectKeyFromObject(o), o)
		if err == nil && is(o) {
			return o
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s %s: %s did not come true: %v, %+v", o.GetObjectKind().GroupVersionKind().Kind, o.GetName(), what, err, o)
		case <-tick.C:
		}
	}
}

// gone waits until an object is no more.
func gone(t *testing.T, w *world, o client.Object) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for client.IgnoreNotFound(w.Get(ctx, client.ObjectKeyFromObject(o), o)) == nil {
		if o.GetUID() == "" || ctx.Err() != nil {
			break
		}
		if err := w.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
			break
		}
		runtime.Gosched()
	}
	if ctx.Err() != nil {
		t.Fatalf("%s is still there: %+v", o.GetName(), o)
	}
}

type conditions interface {
	client.Object
	GetConditions() *[]metav1.Condition
}

// has tells whether a condition is so, for the present generation.
func has[T conditions](conditionType string, status metav1.ConditionStatus, reason string) func(T) bool {
	return func(o T) bool {
		for _, c := range *o.GetConditions() {
			if c.Type == conditionType {
				return c.Status == status && c.Reason == reason && c.ObservedGeneration == o.GetGeneration()
			}
		}
		return false
	}
}

func refused[T conditions](reason string) func(T) bool {
	return has[T](v1alpha1.ConditionAccepted, metav1.ConditionFalse, reason)
}

func ready[T conditions](o T) bool {
	return has[T](v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)(o)
}

func programmed[T conditions](o T) bool {
	return has[T](v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)(o)
}

// network creates one, with subnets.
func (w *world) network(t *testing.T, name string, cidrs ...string) *v1alpha1.Network {
	t.Helper()
	n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, c := range cidrs {
		n.Spec.Subnets = append(n.Spec.Subnets, v1alpha1.Subnet{CIDR: c})
	}
	w.create(t, n)
	return n
}

// attachment creates one; change may alter it before.
func (w *world) attachment(t *testing.T, name, network string, change func(*v1alpha1.AttachmentSpec)) *v1alpha1.Attachment {
	t.Helper()
	a := &v1alpha1.Attachment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.AttachmentSpec{
			Network:   network,
			Interface: v1alpha1.Interface{Type: v1alpha1.InterfaceVeth, Netns: "/run/netns/" + name},
		},
	}
	if change != nil {
		change(&a.Spec)
	}
	w.create(t, a)
	return a
}

func (w *world) create(t *testing.T, o client.Object) {
	t.Helper()
	if err := w.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func (w *world) delete(t *testing.T, o client.Object) {
	t.Helper()
	if err := w.Delete(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// nb runs ovn-nbctl.
func (w *world) nb(t *testing.T, args ...string) string {
	t.Helper()
	out, err := ovnd.Tool(t.Context(), w.options, "ovn-nbctl", append([]string{"--db=" + w.stack.Endpoints().NB}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// pid is a daemon's process; 0 while there is none.
func (w *world) pid(daemon string) int {
	for _, part := range w.stack.Components() {
		if part.Name == daemon {
			return part.PID
		}
	}
	return 0
}

// signal sends a signal to a daemon, and returns its process.
func (w *world) signal(t *testing.T, daemon string, sig syscall.Signal) int {
	t.Helper()
	pid := w.pid(daemon)
	if pid <= 0 {
		t.Fatalf("%s does not run", daemon)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
	return pid
}

// vsctl runs ovs-vsctl.
func (w *world) vsctl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := ovnd.Tool(t.Context(), w.options, "ovs-vsctl", append([]string{"--db=" + w.stack.Endpoints().OVS}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// netns makes a network namespace, which ends with the test at the latest.
func netns(t *testing.T, name string) (remove func()) {
	t.Helper()
	if err := testns.Make(name); err != nil {
		t.Fatal(err)
	}
	remove = sync.OnceFunc(func() {
		if err := testns.Remove(name); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(remove)
	return remove
}
