// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/topology"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

// HostPorts is what the reconcilers need of package vnet.
type HostPorts interface {
	// Update makes the port so and returns what is known of it.
	Update(ctx context.Context, p vnet.Port) (vnet.State, error)
	// Settled returns what is known of a port for which Update would find nothing to
	// do; false where it has to be asked.
	Settled(p vnet.Port) (vnet.State, bool)
	// Delete removes the owner's port; none is success.
	Delete(ctx context.Context, uid string) error
	// Prune removes the ports of owners that keep refuses.
	Prune(ctx context.Context, keep func(vnet.Owner) bool) (removed int, err error)
}

// PortUp tells whether OVN reports a logical port up.
type PortUp interface {
	PortUp(name string) (up, found bool, err error)
}

// PortReconciler keeps the ports of this host and tells when traffic can pass.
// It is a controller of its own where central and node work run apart, and a
// step of the AttachmentReconciler where they run in one process.
type PortReconciler struct {
	Client   client.Client
	Recorder events.EventRecorder
	Ports    HostPorts
	Logical  PortUp
	// Flows forgets connections of addresses that are given back. May be nil.
	Flows Flows
	// Sockets tells what of the host's own ports and addresses is used. May be nil.
	Sockets HostSockets
	// Node is this host's name; attachments without a node are its own too.
	Node string
	// Trigger asks for attachments to be looked at, by name.
	Trigger *Trigger
	// Workers is the number of ports worked on side by side.
	Workers int
}

// SetupWithManager registers the reconciler.
func (r *PortReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("port").
		For(&v1alpha1.Attachment{}, builder.WithPredicates(portAttachmentChanged())).
		WatchesRawSource(r.Trigger).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: r.Workers,
			RateLimiter:             rateLimiter(),
			ReconciliationTimeout:   callTimeout,
		}).
		Complete(r)
}

// Reconcile makes this host hold an attachment's port.
func (r *PortReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	a := &v1alpha1.Attachment{}
	if err := r.Client.Get(ctx, req.NamespacedName, a); err != nil {
		// An object that is gone had its port removed before: its finalizer saw to that.
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !r.Mine(a) {
		return ctrl.Result{}, nil
	}
	if !a.DeletionTimestamp.IsZero() {
		return settle(ctrl.Result{}, r.delete(ctx, a))
	}
	if !pluggable(a) {
		return ctrl.Result{}, nil
	}
	before := a.DeepCopy()
	now := a.AsInForce()
	state, err := r.Plug(ctx, now)
	portErr := r.Tell(now, state, err)
	a.Status = now.Status
	if err := updateStatus(ctx, r.Client, before, a); err != nil {
		return settle(ctrl.Result{}, err)
	}
	return settle(ctrl.Result{}, portErr)
}

// Mine tells whether the attachment's port is on this host.
func (r *PortReconciler) Mine(a *v1alpha1.Attachment) bool {
	return a.Spec.Node == "" || a.Spec.Node == r.Node
}

// pluggable tells whether an attachment's port can be made: the central
// reconciler comes first, and what is in force stays in force while a change of
// it is refused.
func pluggable(a *v1alpha1.Attachment) bool {
	return wasTrue(a, v1alpha1.ConditionProgrammed) && decided(a) &&
		controllerutil.ContainsFinalizer(a, v1alpha1.NodeFinalizer)
}

// waitsForPort is also what the central reconciler writes first: most ports
// come up within milliseconds, and that is not worth a write of its own.
const waitsForPort = "waits for the port on its host, and for OVN to install its flows and report it up"

// Plug makes the port. It reads the attachment and writes nothing to it.
func (r *PortReconciler) Plug(ctx context.Context, a *v1alpha1.Attachment) (vnet.State, error) {
	p, err := portOf(a)
	if err != nil {
		return vnet.State{}, reconcile.TerminalError(err)
	}
	if state, ok := r.Ports.Settled(p); ok {
		return state, nil // OVN has told of it: nothing to read from the kernel
	}
	return r.Ports.Update(ctx, p)
}

// Tell writes what came of Plug to the status in memory, and returns the error
// that is worth another try.
func (r *PortReconciler) Tell(a *v1alpha1.Attachment, state vnet.State, err error) error {
	if errors.Is(err, vnet.ErrNotConnected) && isTrue(a, v1alpha1.ConditionReady) {
		return err // traffic goes on, and thousands of objects must not be rewritten when the database restarts
	}
	if err != nil {
		reason, retry := portFailure(err)
		r.unready(a, reason, err.Error())
		if !retry {
			return nil
		}
		return err
	}
	up, _, err := r.Logical.PortUp(topology.PortName(a.UID))
	if err != nil {
		return err
	}
	switch {
	case state.Error != "":
		r.unready(a, v1alpha1.ReasonPortFailed, "Open vSwitch: "+state.Error)
	case !state.OVNInstalled || !up:
		setCondition(a, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPending, waitsForPort)
	default:
		setCondition(a, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "")
	}
	return nil
}

// portFailure names a failure, and tells whether trying again by the clock can
// help: a namespace or interface that is missing triggers the object when it
// appears.
func portFailure(err error) (reason string, retry bool) {
	var (
		netns    *vnet.NetnsError
		conflict *vnet.ConflictError
		missing  *vnet.InterfaceMissingError
	)
	switch {
	case errors.As(err, &netns):
		return v1alpha1.ReasonNetnsNotFound, false
	case errors.As(err, &missing):
		return v1alpha1.ReasonInterfaceNotFound, false
	case errors.As(err, &conflict):
		return v1alpha1.ReasonInterfaceConflict, true
	}
	return v1alpha1.ReasonPortFailed, true
}

func (r *PortReconciler) unready(a *v1alpha1.Attachment, reason, message string) {
	was := findCondition(a, v1alpha1.ConditionReady)
	if was == nil || was.Reason != reason {
		r.Recorder.Eventf(a, nil, "Warning", reason, "Plug", "%s", message)
	}
	setCondition(a, v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
}

// delete removes the port, then lets the central reconciler go on.
func (r *PortReconciler) delete(ctx context.Context, a *v1alpha1.Attachment) error {
	if !controllerutil.ContainsFinalizer(a, v1alpha1.NodeFinalizer) {
		return nil
	}
	if err := r.Unplug(ctx, a); err != nil {
		return err
	}
	return removeFinalizer(ctx, r.Client, a, v1alpha1.NodeFinalizer)
}

// Unplug removes the port.
func (r *PortReconciler) Unplug(ctx context.Context, a *v1alpha1.Attachment) error {
	if err := r.Ports.Delete(ctx, string(a.UID)); err != nil {
		return fmt.Errorf("removing port %s: %w", a.Status.PortName, err)
	}
	return r.Left(ctx, addressesOf(a))
}

// Left cuts the connections of addresses that an attachment no longer has:
// who gets one of them next must not get their answers.
func (r *PortReconciler) Left(ctx context.Context, addresses []netip.Addr) error {
	if r.Flows == nil {
		return nil
	}
	return r.Flows.Forget(ctx, addresses...)
}
