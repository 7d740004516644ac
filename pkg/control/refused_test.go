// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
