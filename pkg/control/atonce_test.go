// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// atOnce makes every object come true, without any OVN: for what the server
// does by itself.
func atOnce(_ context.Context, mgr ctrl.Manager, _ *errgroup.Group) error {
	for name, o := range map[string]client.Object{"n": &v1alpha1.Network{}, "a": &v1alpha1.Attachment{}, "p": &v1alpha1.Policy{}} {
		if err := ctrl.NewControllerManagedBy(mgr).Named("at-once-" + name).For(o).Complete(reconcile.Func(
			func(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
				o := o.DeepCopyObject().(client.Object)
				if err := mgr.GetClient().Get(ctx, req.NamespacedName, o); err != nil {
					return reconcile.Result{}, client.IgnoreNotFound(err)
				}
				before := o.DeepCopyObject()
				c := o.(conditioned)
				for _, t := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionProgrammed, v1alpha1.ConditionReady} {
					set(c, t, metav1.ConditionTrue, t, "")
				}
				switch o := o.(type) {
				case *v1alpha1.Network:
					o.Status.Subnets = nil
					for _, s := range o.Spec.Subnets {
						o.Status.Subnets = append(o.Status.Subnets, v1alpha1.SubnetStatus{CIDR: s.CIDR, Gateway: s.Gateway})
					}
				case *v1alpha1.Attachment:
					o.Status.PortName = "p"
				}
				if cmp.Equal(before, o) {
					return reconcile.Result{}, nil
				}
				if err := mgr.GetClient().Status().Update(ctx, o); err != nil {
					return reconcile.Result{RequeueAfter: time.Millisecond}, nil // the cache is behind
				}
				return reconcile.Result{}, nil
			})); err != nil {
			return err
		}
	}
	return nil
}
