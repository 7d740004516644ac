// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"net/netip"
	"slices"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/nat"
)

// NAT is what the reconcilers need of package nat.
type NAT interface {
	Flows
	// Apply makes the host's rules what a state says.
	Apply(ctx context.Context, s nat.State) (changed bool, err error)
	// Applied tells whether a state is in force.
	Applied() bool
	Subscribe(fn func(nat.Event))
}

// natName is the one request of the NATReconciler: the rules are one whole, and
// however many objects change at once they are looked at together.
const natName = "nat"

// NATReconciler keeps this host's rules between endpoints and the world. It
// reads networks, and of attachments only those that publish ports: the others,
// however many, cost nothing here.
type NATReconciler struct {
	Client client.Reader
	NAT    NAT
	// Node is this host's name.
	Node string
	// Trigger asks for the rules to be looked at.
	Trigger *Trigger
	// OnGuarded is called when rules are in force, at the latest then.
	OnGuarded func()
}

// SetupWithManager registers the reconciler.
func (r *NATReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.Trigger.Enqueue(natName)
	return ctrl.NewControllerManagedBy(mgr).
		Named("nat").
		Watches(&v1alpha1.Network{}, gathered(natName), builder.WithPredicates(natNetworkChanged())).
		Watches(&v1alpha1.Attachment{}, one(natName), builder.WithPredicates(natAttachmentChanged())).
		WatchesRawSource(r.Trigger).
		WithOptions(controller.Options{RateLimiter: rateLimiter(), ReconciliationTimeout: callTimeout}).
		Complete(r)
}

// Reconcile makes the host's rules what the objects say.
func (r *NATReconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	var networks v1alpha1.NetworkList
	if err := r.Client.List(ctx, &networks, client.UnsafeDisableDeepCopy); err != nil {
		return ctrl.Result{}, err
	}
	var attachments v1alpha1.AttachmentList
	if err := r.Client.List(ctx, &attachments, client.MatchingFields{attachmentsPublishing: "true"}, client.UnsafeDisableDeepCopy); err != nil {
		return ctrl.Result{}, err
	}
	guarded := r.NAT.Applied()
	if _, err := r.NAT.Apply(ctx, natState(networks.Items, attachments.Items, r.Node)); err != nil {
		return ctrl.Result{}, err
	}
	if !guarded && r.OnGuarded != nil {
		r.OnGuarded()
	}
	return ctrl.Result{}, nil
}

// natState is what the objects say of this host's rules.
func natState(networks []v1alpha1.Network, attachments []v1alpha1.Attachment, node string) nat.State {
	var s nat.State
	internal := map[string]bool{}
	for i := range networks {
		n := networks[i].AsInForce()
		to := &s.Masqueraded
		switch mode := n.EffectiveEgressMode(); {
		case n.Spec.Internal:
			to = &s.Isolated
			internal[n.Name] = true
		case mode == v1alpha1.EgressRouted:
			to = &s.Routed
		case mode == v1alpha1.EgressNone:
			to = &s.Closed
		}
		for _, subnet := range n.Status.Subnets {
			if p, err := netip.ParsePrefix(subnet.CIDR); err == nil {
				*to = append(*to, p)
			}
		}
	}
	order := make([]*v1alpha1.Attachment, 0, len(attachments))
	for i := range attachments {
		a := &attachments[i]
		if (a.Spec.Node == "" || a.Spec.Node == node) && a.DeletionTimestamp.IsZero() && !internal[a.Spec.Network] {
			order = append(order, a)
		}
	}
	slices.SortFunc(order, func(x, y *v1alpha1.Attachment) int { return older(x, y) })
	for _, a := range order {
		s.Ports = append(s.Ports, natPorts(a)...)
	}
	return s
}
