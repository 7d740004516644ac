// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// UplinkReconciler keeps this host's own port on the join switch, the router
// bound to this host there, and the host's routes to the subnets of all networks
// through it. However many networks change at once, it is one request.
type UplinkReconciler struct {
	Client     client.Reader
	Ports      HostPorts
	Northbound Northbound
	// Chassis is OVN's name of this host, empty while nobody has given it one.
	Chassis func() string
	// Trigger asks for the port to be looked at.
	Trigger *Trigger
	// Guarded tells whether the host's rules are in force. Without them the port
	// is not made: it would let containers reach all of the host. Nil: it is.
	Guarded func() bool
	// OnPort is called when the port is as it should be, perhaps made anew. May be nil.
	OnPort func()
}

// SetupWithManager registers the reconciler.
func (r *UplinkReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.Trigger.Enqueue(topology.UplinkInterface)
	return ctrl.NewControllerManagedBy(mgr).
		Named("uplink").
		Watches(&v1alpha1.Network{}, gathered(topology.UplinkInterface), builder.WithPredicates(uplinkNetworkChanged())).
		WatchesRawSource(r.Trigger).
		WithOptions(controller.Options{RateLimiter: rateLimiter(), ReconciliationTimeout: callTimeout}).
		Complete(r)
}

// Reconcile makes the port.
func (r *UplinkReconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	if r.Guarded != nil && !r.Guarded() {
		return ctrl.Result{}, nil // who sees to the rules asks again
	}
	var networks v1alpha1.NetworkList
	if err := r.Client.List(ctx, &networks, client.UnsafeDisableDeepCopy); err != nil {
		return ctrl.Result{}, err
	}
	_, err := r.Ports.Update(ctx, uplinkPort(networks.Items))
	if err == nil && r.OnPort != nil {
		r.OnPort()
	}
	if err == nil {
		err = r.bind(ctx)
	}
	return settle(ctrl.Result{}, err)
}

// bind has this host be the router's gateway. In a database that was just wiped
// the host's name is missing for a moment: that is no reason to unbind.
func (r *UplinkReconciler) bind(ctx context.Context) error {
	chassis := r.Chassis()
	if chassis == "" {
		return nil
	}
	_, err := r.Northbound.Update(ctx, topology.UplinkOwner(), topology.Uplink(chassis))
	return err
}
