// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"testing"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// nobody makes nothing come true: the test writes the conditions.
func nobody(context.Context, ctrl.Manager, *errgroup.Group) error { return nil }

// condition writes conditions of an object, as a controller does.
func (w *world) condition(t *testing.T, o client.Object, change func()) {
	t.Helper()
	if err := w.api.Get(within(t, patience), client.ObjectKeyFromObject(o), o); err != nil {
		t.Fatal(err)
	}
	change()
	if err := w.api.Status().Update(within(t, patience), o); err != nil {
		t.Fatal(err)
	}
}

type conditioned interface {
	client.Object
	GetConditions() *[]metav1.Condition
}

func set(o conditioned, kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(o.GetConditions(), metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: o.GetGeneration()})
}

// appears waits until an object is there.
func (w *world) appears(t *testing.T, list client.ObjectList, name string) {
	t.Helper()
	events, err := w.api.Watch(within(t, patience), list)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()
	for e := range events.ResultChan() {
		if o, err := meta.Accessor(e.Object); err == nil && o.GetName() == name {
			return
		}
	}
	t.Fatalf("%s did not appear", name)
}

// A refusal may be older than the deletion of what it was for. As long as the
// objects that there are do not stand against it, it is no answer.
func TestStaleRefusal(t *testing.T) {
	w := startWorld(t, nobody)
	n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	if err := w.api.Create(within(t, patience), n); err != nil {
		t.Fatal(err)
	}
	w.condition(t, n, func() {
		n.Status.Subnets = []v1alpha1.SubnetStatus{{CIDR: "10.0.0.0/24", Gateway: "10.0.0.1"}}
		set(n, v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted, "")
	})
	attach := func(id string) <-chan error {
		done := make(chan error, 1)
		go func() {
			r := tap(id, "n")
			r.Ip = "10.0.0.9"
			_, err := w.AttachContainer(within(t, patience), r)
			done <- err
		}()
		w.appears(t, &v1alpha1.AttachmentList{}, id+".n")
		return done
	}
	a := &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: "a.n"}}
	refuse := func(a *v1alpha1.Attachment) {
		set(a, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonAddressInUse, "spec.addresses: 10.0.0.9 is held by attachment ghost")
	}

	first := attach("a")
	w.condition(t, a, func() { refuse(a) })
	select {
	case err := <-first:
		t.Fatalf("the refusal of a holder that is gone was the answer: %v", err)
	default:
	}
	w.condition(t, a, func() {
		a.Status.Addresses, a.Status.MAC = []string{"10.0.0.9/24"}, "02:00:00:00:00:09"
		for _, c := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionProgrammed, v1alpha1.ConditionReady} {
			set(a, c, metav1.ConditionTrue, c, "")
		}
	})
	if err := <-first; err != nil {
		t.Errorf("it came true: %v", err)
	}

	second := attach("b")
	b := &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: "b.n"}}
	w.condition(t, b, func() { refuse(b) })
	wantCode(t, <-second, codes.FailedPrecondition)
	if err := w.api.Get(within(t, patience), client.ObjectKeyFromObject(b), b); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("what was refused is left: %v", err)
	}
}

// An object that somebody deletes under a call that waits for it, and a server
// that ends, are told.
func TestInterrupted(t *testing.T) {
	w := startWorld(t, nobody)
	create := func(id string) <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := w.CreateBridge(within(t, patience), &controlpb.CreateBridgeRequest{NetworkId: id})
			done <- err
		}()
		w.appears(t, &v1alpha1.NetworkList{}, id)
		return done
	}
	deleted := create("a")
	if err := w.api.Delete(within(t, patience), &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "a"}}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, <-deleted, codes.Aborted)

	waits := create("b")
	w.stop()
	if err := <-waits; status.Code(err) != codes.Unavailable {
		t.Errorf("the server has ended: %v", err)
	}
}
