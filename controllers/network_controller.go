// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// NetworkReconciler accepts networks, chooses their subnets and keeps their
// northbound rows.
type NetworkReconciler struct {
	Client     client.Client
	Recorder   events.EventRecorder
	Northbound Northbound
	Book       *Book
	// Trigger asks for networks to be looked at, by name.
	Trigger *Trigger
	// Attachments is triggered when a network's rows appeared: ports that had
	// no switch to go into can be written.
	Attachments *Trigger
	// Policies is triggered then too.
	Policies *Trigger
	// Workers is the number of networks worked on side by side.
	Workers int
}

// SetupWithManager registers the reconciler.
func (r *NetworkReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("network").
		For(&v1alpha1.Network{}, builder.WithPredicates(specChanged(v1alpha1.ConditionAccepted, v1alpha1.ConditionProgrammed))).
		Watches(&v1alpha1.Attachment{}, handler.Funcs{DeleteFunc: enqueueNetworkOf}).
		WatchesRawSource(r.Trigger).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: r.Workers,
			RateLimiter:             rateLimiter(),
			ReconciliationTimeout:   callTimeout,
		}).
		Complete(r)
}

// enqueueNetworkOf enqueues the network of an attachment that went, for the
// network may have waited for it.
func enqueueNetworkOf(_ context.Context, e event.DeleteEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	if a, ok := e.Object.(*v1alpha1.Attachment); ok {
		q.Add(request(a.Spec.Network))
	}
}

// rateLimiter delays retries of one object after an error: 50 ms, doubled up
// to 30 s. What repairs the error usually triggers the object sooner.
func rateLimiter() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](50*time.Millisecond, 30*time.Second)
}

// Reconcile makes the northbound database hold a network's rows.
func (r *NetworkReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if err := r.Book.Load(ctx, r.Client); err != nil {
		return ctrl.Result{}, err
	}
	n := &v1alpha1.Network{}
	if err := r.Client.Get(ctx, req.NamespacedName, n); err != nil {
		if apierrors.IsNotFound(err) {
			r.Book.ReleaseNetwork(req.Name)
			r.wake()
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !n.DeletionTimestamp.IsZero() {
		return settle(ctrl.Result{}, r.delete(ctx, n))
	}
	if err := ensureFinalizers(ctx, r.Client, n, v1alpha1.CentralFinalizer); err != nil {
		return settle(ctrl.Result{}, err)
	}
	before := n.DeepCopy()
	changed, syncErr := r.sync(ctx, n)
	n.Status.ObservedGeneration = n.Generation
	err := updateStatus(ctx, r.Client, before, n)
	if changed {
		// Also where the status could not be written, but after that: it is what a
		// user waits for, and a pass over all policies takes a processor.
		r.Policies.Enqueue(allPolicies)
		syncErr = errors.Join(syncErr, r.enqueueAttachments(ctx, n.Name))
	}
	if err != nil {
		return settle(ctrl.Result{}, err)
	}
	return settle(ctrl.Result{}, syncErr)
}

// sync does the work, writes its outcome to the status in memory, and tells whether
// rows have changed.
func (r *NetworkReconciler) sync(ctx context.Context, n *v1alpha1.Network) (changed bool, err error) {
	grant, refused := r.Book.AcquireNetwork(n)
	r.wake()
	if refused == nil {
		setCondition(n, v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted, "")
		n.Status.Subnets, n.Status.InForce = grant, nil
		return r.realize(ctx, n)
	}
	refuse(r.Recorder, n, refused)
	n.Status.InForce = r.Book.NetworkInForce(n)
	if n.Status.InForce == nil {
		return false, nil
	}
	now := n.AsInForce()
	changed, err = r.realize(ctx, now)
	n.Status = now.Status
	return changed, err
}

// wake has those looked at that may have now what they waited for.
func (r *NetworkReconciler) wake() {
	attachments, networks := r.Book.Woken()
	r.Attachments.Enqueue(attachments...)
	r.Trigger.Enqueue(networks...)
}

// realize makes the rows what a network was granted, writes the outcome to the status
// in memory, and tells whether rows have changed.
func (r *NetworkReconciler) realize(ctx context.Context, n *v1alpha1.Network) (changed bool, err error) {
	rows, err := topology.Network(n)
	if err != nil {
		return false, reconcile.TerminalError(err)
	}
	changed, err = r.Northbound.Update(ctx, topology.NetworkOwner(n), rows)
	if err != nil {
		return false, unprogrammed(n, err)
	}
	setCondition(n, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "")
	setCondition(n, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "")
	return changed, nil
}

func (r *NetworkReconciler) enqueueAttachments(ctx context.Context, network string) error {
	list, err := attachmentsOf(ctx, r.Client, network)
	if err != nil {
		return err
	}
	r.Attachments.Enqueue(names(list)...)
	return nil
}

// delete removes the rows once no attachment needs them.
func (r *NetworkReconciler) delete(ctx context.Context, n *v1alpha1.Network) error {
	list, err := attachmentsOf(ctx, r.Client, n.Name)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		if err := r.repair(ctx, n); err != nil {
			return err
		}
		before := n.DeepCopy()
		setCondition(n, v1alpha1.ConditionDeleting, metav1.ConditionTrue, v1alpha1.ReasonAttachmentsRemain,
			"waits for its attachments to be deleted: "+enumerate(names(list), 5))
		return updateStatus(ctx, r.Client, before, n)
	}
	if _, err := r.Northbound.Delete(ctx, topology.NetworkOwner(n)); err != nil {
		return err
	}
	return removeFinalizer(ctx, r.Client, n, v1alpha1.CentralFinalizer)
}

// repair keeps the rows of a network that waits for its attachments to go.
func (r *NetworkReconciler) repair(ctx context.Context, n *v1alpha1.Network) error {
	spec := r.Book.NetworkInForce(n)
	if spec == nil || len(n.Status.Subnets) == 0 {
		return nil
	}
	now := *n
	now.Spec = *spec
	rows, err := topology.Network(&now)
	if err != nil {
		return reconcile.TerminalError(err)
	}
	changed, err := r.Northbound.Update(ctx, topology.NetworkOwner(n), rows)
	if err != nil || !changed {
		return err
	}
	r.Policies.Enqueue(allPolicies)
	return r.enqueueAttachments(ctx, n.Name)
}

// unprogrammed tells in the status that rows could not be written. An object
// that is programmed stays so: its rows are still in force as far as anybody
// knows, and thousands of objects must not be rewritten when a database
// restarts.
func unprogrammed(o conditioned, err error) error {
	if isTrue(o, v1alpha1.ConditionProgrammed) {
		return err
	}
	reason, message := v1alpha1.ReasonNorthboundUnavailable, err.Error()
	var missing *ovnsync.MissingParentError
	if errors.As(err, &missing) {
		// What appears triggers this object again.
		reason, message, err = v1alpha1.ReasonPending, fmt.Sprintf("waits for %s %s", missing.Table, missing.ID), nil
	}
	setCondition(o, v1alpha1.ConditionProgrammed, metav1.ConditionFalse, reason, message)
	setCondition(o, v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
	return err
}

// refuse tells in the status why an object is not accepted. What is in force
// for its former generation stays in force.
func refuse(rec events.EventRecorder, o conditioned, why *Refusal) {
	c := metav1.Condition{}
	for _, have := range *o.GetConditions() {
		if have.Type == v1alpha1.ConditionAccepted {
			c = have
		}
	}
	setCondition(o, v1alpha1.ConditionAccepted, metav1.ConditionFalse, why.Reason, why.Message)
	if !wasTrue(o, v1alpha1.ConditionProgrammed) {
		setCondition(o, v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonNotAccepted, why.Message)
		setCondition(o, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNotAccepted, why.Message)
	}
	if c.Reason != why.Reason || c.Message != why.Message {
		rec.Eventf(o, nil, "Warning", why.Reason, "Accept", "%s", why.Message)
	}
}

// enumerate joins names for a message, the first few of them.
func enumerate(names []string, most int) string {
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
