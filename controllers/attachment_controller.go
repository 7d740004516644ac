// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"net/netip"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
	"github.com/vas-solutus/arca-network/pkg/topology"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

// HostStep is this host's part of an attachment.
type HostStep interface {
	// Mine tells whether the attachment's port is on this host.
	Mine(a *v1alpha1.Attachment) bool
	// Plug makes the port. It writes nothing to the attachment.
	Plug(ctx context.Context, a *v1alpha1.Attachment) (vnet.State, error)
	// Tell writes what came of Plug to the status in memory.
	Tell(a *v1alpha1.Attachment, state vnet.State, err error) error
	// Left is called with the addresses that an attachment no longer has.
	Left(ctx context.Context, addresses []netip.Addr) error
	// Unplug removes the port.
	Unplug(ctx context.Context, a *v1alpha1.Attachment) error
	// Publishable tells why the host cannot publish ports, or nil, and whether
	// nothing will tell that it can.
	Publishable(ports []publication) (why *Refusal, poll bool, err error)
}

// AttachmentReconciler gives attachments their addresses and keeps their
// northbound rows. The port on the host is the PortReconciler's.
type AttachmentReconciler struct {
	Client     client.Client
	Recorder   events.EventRecorder
	Northbound Northbound
	Book       *Book
	// Policies knows which sets of policies an endpoint belongs into.
	Policies *PolicyBook
	// PolicyTrigger asks for policies to be looked at.
	PolicyTrigger *Trigger
	// Trigger asks for attachments to be looked at, by name.
	Trigger *Trigger
	// Networks is triggered for a network that waited for an attachment to go.
	Networks *Trigger
	// Host is this host's part where central and node work run in one process:
	// it is done in the same go and told in the same write. Nil where they run
	// apart.
	Host HostStep
	// Workers is the number of attachments worked on side by side. The writer
	// of the northbound database commits what they bring in groups.
	Workers int

	fresh   freshObjects
	waiting nameSet // for an address of the host
}

// SetupWithManager registers the reconciler.
func (r *AttachmentReconciler) SetupWithManager(mgr ctrl.Manager) error {
	own := []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionProgrammed}
	if r.Host != nil {
		own = append(own, v1alpha1.ConditionReady)
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("attachment").
		For(&v1alpha1.Attachment{}, builder.WithPredicates(predicate.Or(specChanged(own...), predicate.LabelChangedPredicate{}))).
		Watches(&v1alpha1.Network{}, handler.EnqueueRequestsFromMapFunc(r.attachmentsOf), builder.WithPredicates(attachmentsNetworkChanged())).
		WatchesRawSource(r.Trigger).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: r.Workers,
			RateLimiter:             rateLimiter(),
			ReconciliationTimeout:   callTimeout,
		}).
		Complete(r)
}

// attachmentsOf enqueues the attachments of a network.
func (r *AttachmentReconciler) attachmentsOf(ctx context.Context, network client.Object) []reconcile.Request {
	list, err := attachmentsOf(ctx, r.Client, network.GetName())
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing attachments", "network", network.GetName())
		return nil
	}
	out := make([]reconcile.Request, len(list))
	for i := range list {
		out[i] = request(list[i].Name)
	}
	return out
}

// Reconcile makes the northbound database hold an attachment's port, and this
// host its interface where that is done in the same go.
func (r *AttachmentReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if err := r.Book.Load(ctx, r.Client); err != nil {
		return ctrl.Result{}, err
	}
	if err := r.Policies.Load(ctx, r.Client); err != nil {
		return ctrl.Result{}, err
	}
	a := &v1alpha1.Attachment{}
	if err := r.Client.Get(ctx, req.NamespacedName, a); err != nil {
		if apierrors.IsNotFound(err) {
			if r.Policies.Left(req.Name) {
				r.PolicyTrigger.Enqueue(allPolicies)
			}
			r.Book.ReleaseAttachment(req.Name)
			r.wake()
			r.fresh.forget(req.Name)
			r.waiting.remove(req.Name)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !a.DeletionTimestamp.IsZero() {
		return settle(ctrl.Result{}, r.delete(ctx, a))
	}
	if err := ensureFinalizers(ctx, r.Client, a, v1alpha1.CentralFinalizer, v1alpha1.NodeFinalizer); err != nil {
		return settle(ctrl.Result{}, err)
	}
	before := a.DeepCopy()
	again, syncErr := r.sync(ctx, a)
	if wait := r.fresh.wait(before, a); wait > 0 && syncErr == nil {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	if left := addressesLeft(before, a); len(left) > 0 && r.Host != nil && r.Host.Mine(a) {
		// Before the status is written, for it is what remembers them.
		if err := r.Host.Left(ctx, left); err != nil {
			return settle(ctrl.Result{}, err)
		}
	}
	a.Status.ObservedGeneration = a.Generation
	if err := updateStatus(ctx, r.Client, before, a); err != nil {
		return settle(ctrl.Result{}, err)
	}
	r.fresh.forget(a.Name)
	if left := linkLocalsLeft(before, a); len(left) > 0 {
		r.Trigger.Enqueue(r.Book.AlsoHold(left)...)
	}
	return settle(ctrl.Result{RequeueAfter: again}, syncErr)
}

// sync does the work and writes its outcome to the status in memory. It tells
// when to look again at what nothing else tells of.
func (r *AttachmentReconciler) sync(ctx context.Context, a *v1alpha1.Attachment) (time.Duration, error) {
	network := &v1alpha1.Network{}
	err := r.Client.Get(ctx, client.ObjectKey{Name: a.Spec.Network}, network)
	if client.IgnoreNotFound(err) != nil {
		return 0, err
	}
	if why := networkRefuses(network, a, err == nil); why != nil {
		refuse(r.Recorder, a, why)
		return 0, nil
	}
	network = network.AsInForce()
	why, again, err := r.hostRefuses(a, network)
	if err != nil {
		return 0, err
	}
	var grant *attachmentEntry
	if why == nil {
		grant, why = r.Book.AcquireAttachment(a, network)
		r.wake()
	}
	if why == nil {
		a.Status.InForce = nil
		setCondition(a, v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted, "")
		return again, r.realize(ctx, a, network, grant)
	}
	refuse(r.Recorder, a, why)
	held := r.Book.AttachmentInForce(a)
	if held == nil {
		return again, nil
	}
	a.Status.InForce = held.spec.DeepCopy()
	now := a.AsInForce()
	err = r.realize(ctx, now, network, held)
	a.Status = now.Status
	return again, err
}

// hostRefuses tells why this host cannot publish an attachment's ports, or nil, and
// when to ask again where nothing tells that it can.
func (r *AttachmentReconciler) hostRefuses(a *v1alpha1.Attachment, n *v1alpha1.Network) (*Refusal, time.Duration, error) {
	if r.Host == nil || !r.Host.Mine(a) {
		return nil, 0, nil
	}
	// Before asking, or a change of the host in between would be missed.
	r.waiting.add(a.Name)
	why, poll, err := r.Host.Publishable(r.Book.Unpublished(a, n))
	if why == nil || poll {
		r.waiting.remove(a.Name)
	}
	if why != nil && poll {
		return why, publishRetry, err
	}
	return why, 0, err
}

// wake has those looked at that may have now what they waited for.
func (r *AttachmentReconciler) wake() {
	attachments, networks := r.Book.Woken()
	r.Trigger.Enqueue(attachments...)
	r.Networks.Enqueue(networks...)
}

// realize makes rows and port what an attachment was granted, and writes the outcome
// to the status in memory.
func (r *AttachmentReconciler) realize(ctx context.Context, a *v1alpha1.Attachment, network *v1alpha1.Network, grant *attachmentEntry) error {
	grant.apply(a, network)
	a.Status.PortName = portNameOf(a)

	rows, err := topology.Attachment(a, network)
	if err != nil {
		return reconcile.TerminalError(err)
	}
	told := r.plug(ctx, a)
	err = r.write(ctx, a, network, rows)
	tell := <-told
	if err != nil {
		return unprogrammed(a, err)
	}
	setCondition(a, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "")
	if c := findCondition(a, v1alpha1.ConditionReady); c == nil || c.Reason == v1alpha1.ReasonNotAccepted ||
		c.Reason == v1alpha1.ReasonNorthboundUnavailable {
		setCondition(a, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPending, waitsForPort)
	}
	return tell()
}

// plug has this host's port made while the rows are written: neither needs the
// other, and OVN takes longest once it has both. What it sends is to be called
// when the rows are there.
func (r *AttachmentReconciler) plug(ctx context.Context, a *v1alpha1.Attachment) <-chan func() error {
	told := make(chan func() error, 1)
	if r.Host == nil || !r.Host.Mine(a) {
		told <- func() error { return nil }
		return told
	}
	go func() {
		state, err := r.Host.Plug(ctx, a)
		told <- func() error { return r.Host.Tell(a, state, err) }
	}()
	return told
}

// write writes an attachment's rows, with its address in the sets of the
// policies that select it.
func (r *AttachmentReconciler) write(ctx context.Context, a *v1alpha1.Attachment, n *v1alpha1.Network, rows []ovnsync.Row) error {
	place := r.Policies.Place(a, n)
	place.enter(rows)
	_, err := r.Northbound.Update(ctx, topology.AttachmentOwner(a), rows)
	var missing *ovnsync.MissingParentError
	if errors.As(err, &missing) && (missing.Table == nbdb.AddressSetTable || missing.Table == nbdb.ACLTable) {
		r.Policies.Await(a.Name)
		place.News = true
	}
	if place.News || err == nil && r.Policies.Joined(a.Name, place) {
		r.PolicyTrigger.Enqueue(allPolicies)
	}
	if r.Policies.Stale(place) {
		// Policies were published meanwhile, maybe without a sight of this one.
		r.Trigger.Enqueue(a.Name)
	}
	return err
}

// networkRefuses tells why an attachment cannot be accepted for its network's
// sake, or nil.
func networkRefuses(n *v1alpha1.Network, a *v1alpha1.Attachment, found bool) *Refusal {
	switch {
	case !found:
		return &Refusal{v1alpha1.ReasonNetworkNotFound,
			"spec.network: network " + a.Spec.Network + " does not exist; create it, or delete this attachment"}
	case wasTrue(a, v1alpha1.ConditionAccepted) || a.Status.InForce != nil:
		// It stays attached to a network that is being deleted, or that was
		// refused a change: that is what the network waits for.
		return nil
	case !n.DeletionTimestamp.IsZero():
		return &Refusal{v1alpha1.ReasonNetworkDeleting,
			"spec.network: network " + n.Name + " is being deleted"}
	case len(n.Status.Subnets) == 0:
		why := "has not been accepted yet"
		if c := findCondition(n, v1alpha1.ConditionAccepted); c != nil && c.Message != "" {
			why = "is not accepted: " + c.Message
		}
		return &Refusal{v1alpha1.ReasonNetworkNotAccepted, "spec.network: network " + n.Name + " " + why}
	}
	return nil
}

// delete removes the rows, and the port where that is this host's; the port of
// another host goes first.
func (r *AttachmentReconciler) delete(ctx context.Context, a *v1alpha1.Attachment) error {
	unplugged := make(chan error, 1)
	switch {
	case !controllerutil.ContainsFinalizer(a, v1alpha1.NodeFinalizer):
		unplugged <- nil
	case r.Host != nil && r.Host.Mine(a):
		go func() { unplugged <- r.Host.Unplug(ctx, a) }()
	default:
		return nil
	}
	_, err := r.Northbound.Delete(ctx, topology.AttachmentOwner(a))
	if err := errors.Join(err, <-unplugged); err != nil {
		return err
	}
	controllerutil.RemoveFinalizer(a, v1alpha1.NodeFinalizer) // written with our own
	return removeFinalizer(ctx, r.Client, a, v1alpha1.CentralFinalizer)
}

func findCondition(o conditioned, conditionType string) *metav1.Condition {
	for i, c := range *o.GetConditions() {
		if c.Type == conditionType {
			return &(*o.GetConditions())[i]
		}
	}
	return nil
}
