// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// TestRefusedAtLast: what a call made and could not wait for goes when a later call for
// the same is refused. What somebody else made stays, and what was in force once.
func TestRefusedAtLast(t *testing.T) {
	const subnet = "10.0.0.0/24"
	w := startWorld(t, nobody)
	accepted := []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionProgrammed, v1alpha1.ConditionReady}
	n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	holder := &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: "holder.n"}, Spec: v1alpha1.AttachmentSpec{
		Network: "n", Container: v1alpha1.Container{ID: "holder"}, Interface: v1alpha1.Interface{Type: v1alpha1.InterfaceInternal},
	}}
	for _, o := range []client.Object{n, holder} {
		if err := w.api.Create(within(t, patience), o); err != nil {
			t.Fatal(err)
		}
	}
	inForce := func(o conditioned) {
		for _, c := range accepted {
			set(o, c, metav1.ConditionTrue, c, "")
		}
		switch o := o.(type) {
		case *v1alpha1.Network:
			o.Status.Subnets = []v1alpha1.SubnetStatus{{CIDR: subnet, Gateway: "10.0.0.1"}}
		case *v1alpha1.Attachment:
			o.Status.Addresses, o.Status.MAC, o.Status.PortName = []string{"10.0.0.9/24"}, "02:00:00:00:00:09", "p"
		}
	}
	w.condition(t, n, func() { inForce(n) })
	w.condition(t, holder, func() { inForce(holder) })

	bridge := func(ctx context.Context, id string) error {
		_, err := w.CreateBridge(ctx, &controlpb.CreateBridgeRequest{NetworkId: id, Subnet: subnet})
		return err
	}
	attach := func(ctx context.Context, id string) error {
		r := tap(id, "n")
		r.Ip, r.Labels, r.Annotations = "10.0.0.9", map[string]string{"l": "1"}, map[string]string{"a.example/x": "1"}
		_, err := w.AttachContainer(ctx, r)
		return err
	}
	network := func(id string) conditioned {
		return &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: id}, Spec: v1alpha1.NetworkSpec{Subnets: []v1alpha1.Subnet{{CIDR: subnet}}}}
	}
	attachment := func(id string) conditioned {
		return &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: id + ".n", Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a.example/x": "1"}},
			Spec: v1alpha1.AttachmentSpec{Network: "n", Container: v1alpha1.Container{ID: id}, Addresses: []string{"10.0.0.9"}, Interface: v1alpha1.Interface{Type: v1alpha1.InterfaceInternal}}}
	}
	for _, of := range []struct {
		kind   string
		call   func(ctx context.Context, id string) error
		object func(id string) conditioned
		reason string
	}{
		{"network", bridge, network, v1alpha1.ReasonSubnetOverlap},
		{"attachment", attach, attachment, v1alpha1.ReasonAddressInUse},
	} {
		refuse := func(o conditioned) { set(o, v1alpha1.ConditionAccepted, metav1.ConditionFalse, of.reason, "taken") }
		for name, c := range map[string]struct {
			byHand bool
			before func(o conditioned) // what became of it between the calls
			stays  bool
			differ bool // what is left from what is asked for
		}{
			"made":    {},
			"by-hand": {byHand: true, stays: true},
			"in-force": {before: func(o conditioned) {
				w.condition(t, o, func() { inForce(o) })
			}, stays: true},
			"changed": {differ: true, before: func(o conditioned) {
				o.SetLabels(map[string]string{"other": "1"})
				if err := w.api.Update(within(t, patience), o); err != nil {
					t.Fatal(err)
				}
			}, stays: true},
		} {
			t.Run(of.kind+"/"+name, func(t *testing.T) {
				o := of.object(name)
				if c.byHand {
					if err := w.api.Create(within(t, patience), o); err != nil {
						t.Fatal(err)
					}
				} else {
					short, cancel := context.WithTimeout(context.Background(), time.Second)
					defer cancel()
					wantCode(t, of.call(short, name), codes.DeadlineExceeded)
				}
				if err := w.api.Get(within(t, patience), client.ObjectKeyFromObject(o), o); err != nil {
					t.Fatal(err)
				}
				if c.before != nil {
					c.before(o)
				}
				w.condition(t, o, func() { refuse(o) })
				err := of.call(within(t, patience), name)
				if code := status.Code(err); code != codes.FailedPrecondition && (!c.differ || code != codes.AlreadyExists) {
					t.Errorf("got %v, want that it is refused", err)
				}
				err = w.api.Get(within(t, patience), client.ObjectKeyFromObject(o), o)
				if stays := err == nil; stays != c.stays || err != nil && !apierrors.IsNotFound(err) {
					t.Errorf("it is left: %v (%v), want %v", stays, err, c.stays)
				}
				if err := w.api.Delete(within(t, patience), o); client.IgnoreNotFound(err) != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// TestRefusedSideBySide: changes of one attachment that are refused leave it as it was,
// however many there are at a time. None takes for the state before what another one is
// about to be refused.
func TestRefusedSideBySide(t *testing.T) {
	w := startWorld(t, refusesNames)
	w.network(t, "n", "10.1.0.0/24")
	c := tap("c", "n")
	c.Ip, c.Mac = "10.1.0.9", "02:00:00:00:00:09"
	w.attach(t, c)
	const holders = 4
	for i := range holders {
		r := tap("holder-"+strconv.Itoa(i), "n")
		r.Hostname, r.Ip, r.Mac = "taken-"+strconv.Itoa(i), "10.1.0.1"+strconv.Itoa(i), "02:00:00:00:00:1"+strconv.Itoa(i)
		w.attach(t, r)
	}
	var calls errgroup.Group
	for i := range 4 * holders {
		calls.Go(func() error {
			_, err := w.UpdateContainer(within(t, patience), &controlpb.UpdateContainerRequest{
				ContainerId: "c", NetworkId: "n", Hostname: proto.String("taken-" + strconv.Itoa(i%holders)),
			})
			if status.Code(err) != codes.FailedPrecondition {
				return fmt.Errorf("call %d: got %w, want that it is refused", i, err)
			}
			return nil
		})
	}
	if err := calls.Wait(); err != nil {
		t.Error(err)
	}
	a := &v1alpha1.Attachment{}
	if err := w.api.Get(within(t, patience), client.ObjectKey{Name: "c.n"}, a); err != nil {
		t.Fatal(err)
	}
	if a.Spec.Container.Name != "" {
		t.Errorf("the name is %q, want none as before", a.Spec.Container.Name)
	}
}

// refusesNames accepts everything but that container c has a name.
func refusesNames(_ context.Context, mgr ctrl.Manager, _ *errgroup.Group) error {
	return ctrl.NewControllerManagedBy(mgr).Named("refuses-names").For(&v1alpha1.Attachment{}).
		Watches(&v1alpha1.Network{}, &handler.EnqueueRequestForObject{}).
		Complete(reconcile.Func(func(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
			for _, o := range []conditioned{&v1alpha1.Network{}, &v1alpha1.Attachment{}} {
				if err := mgr.GetClient().Get(ctx, req.NamespacedName, o); err != nil {
					continue
				}
				before := o.DeepCopyObject()
				accepted := metav1.ConditionTrue
				switch o := o.(type) {
				case *v1alpha1.Network:
					o.Status.Subnets = []v1alpha1.SubnetStatus{{CIDR: o.Spec.Subnets[0].CIDR, Gateway: o.Spec.Subnets[0].Gateway}}
				case *v1alpha1.Attachment:
					o.Status.PortName, o.Status.Addresses, o.Status.MAC = "p", []string{o.Spec.Addresses[0] + "/24"}, o.Spec.MAC
					if o.Spec.Container.ID == "c" && o.Spec.Container.Name != "" {
						accepted = metav1.ConditionFalse
					}
				}
				for _, c := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionProgrammed, v1alpha1.ConditionReady} {
					set(o, c, accepted, "Told", "")
				}
				if cmp.Equal(before, o) {
					continue
				}
				if err := mgr.GetClient().Status().Update(ctx, o); err != nil {
					return reconcile.Result{RequeueAfter: time.Millisecond}, nil // the cache is behind
				}
			}
			return reconcile.Result{}, nil
		}))
}
