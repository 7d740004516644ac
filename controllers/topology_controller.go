// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// Northbound is what the reconcilers need of package ovnsync.
type Northbound interface {
	// Update makes rows the owner's only rows and returns after the commit.
	Update(ctx context.Context, owner ovnsync.Owner, rows []ovnsync.Row) (changed bool, err error)
	// UpdateAll is Update for many owners, at once.
	UpdateAll(ctx context.Context, all []ovnsync.Owned) error
	// Delete removes all rows of the owner; none is success.
	Delete(ctx context.Context, owner ovnsync.Owner) (changed bool, err error)
	// Prune removes the rows of owners that keep refuses.
	Prune(ctx context.Context, keep func(ovnsync.Owner) bool) (removed int, err error)
}

// callTimeout bounds one reconciliation, all its calls together.
const callTimeout = 30 * time.Second

// conflictDelay is how long a reconciler waits for its cache to catch up with
// a write of somebody else that it lost against.
const conflictDelay = 5 * time.Millisecond

// outageDelay is how long an object waits for a database to answer again, where
// the event that tells so does not come.
const outageDelay = 5 * time.Second

// TopologyReconciler keeps the rows that all networks share. It watches no
// object: its trigger asks for it at the start and when a row is changed by
// somebody else.
type TopologyReconciler struct {
	Northbound Northbound
	// Trigger asks for the shared rows to be looked at.
	Trigger *Trigger
	// OnChanged is called after rows were written: whoever waited for a shared
	// row to appear can go on.
	OnChanged func()
}

// SetupWithManager registers the reconciler.
func (r *TopologyReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.Trigger.Enqueue(topology.SharedOwner().Name)
	return ctrl.NewControllerManagedBy(mgr).
		Named("topology").
		WatchesRawSource(r.Trigger).
		WithOptions(controller.Options{RateLimiter: rateLimiter(), ReconciliationTimeout: callTimeout}).
		Complete(r)
}

// Reconcile writes the shared rows.
func (r *TopologyReconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	changed, err := r.Northbound.Update(ctx, topology.SharedOwner(), topology.Shared())
	if err != nil {
		return settle(ctrl.Result{}, err)
	}
	if changed {
		ctrl.LoggerFrom(ctx).Info("Shared topology written")
		r.OnChanged()
	}
	return ctrl.Result{}, nil
}
