// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"net/netip"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/vas-solutus/arca-network/pkg/topology"
)

var uplinkAddresses = []netip.Prefix{netip.MustParsePrefix(topology.UplinkAddress)}

// UplinkReconciler keeps this host's own port on the join switch. Like
// TopologyReconciler it watches no object.
type UplinkReconciler struct {
	Ports HostPorts
	// Trigger asks for the port to be looked at.
	Trigger *Trigger
}

// SetupWithManager registers the reconciler.
func (r *UplinkReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.Trigger.Enqueue(topology.UplinkInterface)
	return ctrl.NewControllerManagedBy(mgr).
		Named("uplink").
		WatchesRawSource(r.Trigger).
		WithOptions(controller.Options{RateLimiter: rateLimiter(), ReconciliationTimeout: callTimeout}).
		Complete(r)
}

// Reconcile makes the port.
func (r *UplinkReconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	_, err := r.Ports.Update(ctx, uplinkPort())
	return settle(ctrl.Result{}, err)
}
