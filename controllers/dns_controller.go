// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"net/netip"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/dns"
)

// NameServer is what the reconcilers need of package dns. Nothing of it can
// fail or wait.
type NameServer interface {
	SetNetwork(dns.Network)
	DeleteNetwork(name string)
	SetAttachment(dns.Attachment)
	DeleteAttachment(name string)
	// Rebind asks the server to look at the uplink again.
	Rebind()
}

// NameReconciler tells the name server of networks and attachments. It writes
// nothing else.
type NameReconciler struct {
	Client client.Reader
	Names  NameServer
}

// SetupWithManager registers a controller for each kind of object.
func (r *NameReconciler) SetupWithManager(mgr ctrl.Manager) error {
	options := controller.Options{RateLimiter: rateLimiter(), ReconciliationTimeout: callTimeout}
	if err := ctrl.NewControllerManagedBy(mgr).
		Named("dns-network").
		For(&v1alpha1.Network{}).
		WithOptions(options).
		Complete(reconcileFunc(r.network)); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("dns-attachment").
		For(&v1alpha1.Attachment{}).
		WithOptions(options).
		Complete(reconcileFunc(r.attachment))
}

type reconcileFunc func(context.Context, ctrl.Request) (ctrl.Result, error)

// Reconcile calls the function.
func (f reconcileFunc) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	return f(ctx, req)
}

func (r *NameReconciler) network(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	n := &v1alpha1.Network{}
	err := r.Client.Get(ctx, req.NamespacedName, n)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, err
	}
	if err != nil || len(n.Status.Subnets) == 0 {
		r.Names.DeleteNetwork(req.Name)
		return ctrl.Result{}, nil
	}
	// What is in force stays in force while a change is refused.
	if n = n.AsInForce(); n.Status.InForce == nil && !wasTrue(n, v1alpha1.ConditionAccepted) {
		return ctrl.Result{}, nil
	}
	r.Names.SetNetwork(namesOfNetwork(n))
	return ctrl.Result{}, nil
}

func (r *NameReconciler) attachment(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	a := &v1alpha1.Attachment{}
	err := r.Client.Get(ctx, req.NamespacedName, a)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, err
	}
	if err != nil || !a.DeletionTimestamp.IsZero() || len(a.Status.Addresses) == 0 {
		r.Names.DeleteAttachment(req.Name)
		return ctrl.Result{}, nil
	}
	if a = a.AsInForce(); a.Status.InForce == nil && !wasTrue(a, v1alpha1.ConditionAccepted) {
		return ctrl.Result{}, nil
	}
	r.Names.SetAttachment(namesOfAttachment(a))
	return ctrl.Result{}, nil
}

// namesOfNetwork is what the name server knows of a network.
func namesOfNetwork(n *v1alpha1.Network) dns.Network {
	out := dns.Network{
		Name:    n.Name,
		DNSName: n.EffectiveDNSName(),
		Enabled: n.ServesNames(),
		Forward: !n.Spec.Internal && (n.Spec.Egress == nil || n.Spec.Egress.Mode != v1alpha1.EgressNone),
	}
	for _, s := range n.Status.Subnets {
		if p, err := netip.ParsePrefix(s.CIDR); err == nil {
			out.Subnets = append(out.Subnets, p)
		}
	}
	if n.Spec.DNS != nil {
		for _, u := range n.Spec.DNS.Upstreams {
			if a, err := netip.ParseAddr(u); err == nil {
				out.Upstreams = append(out.Upstreams, netip.AddrPortFrom(a, dns.Port))
			}
		}
	}
	return out
}

// shortID is how many characters of a container's id engines use as its host
// name where it has no other.
const shortID = 12

// containerOf is the engine's id of a container, or empty where that is not known:
// a driver's own is no more than a MAC address, which others have on other networks.
func containerOf(a *v1alpha1.Attachment) string {
	if told := a.Annotations[v1alpha1.AnnotationContainer]; told != "" || a.Annotations[v1alpha1.AnnotationMadeBy] != "" {
		return told
	}
	return a.Spec.Container.ID
}

// namesOfAttachment is what the name server knows of an attachment.
func namesOfAttachment(a *v1alpha1.Attachment) dns.Attachment {
	id := containerOf(a)
	out := dns.Attachment{Name: a.Name, Network: a.Spec.Network, Container: id}
	if name := a.Spec.Container.Name; name != "" {
		out.Names = append(out.Names, name)
	}
	out.Names = append(out.Names, a.Spec.Container.Aliases...)
	if len(id) >= shortID {
		out.Names = append(out.Names, id[:shortID])
	}
	for _, s := range a.Status.Addresses {
		if p, err := netip.ParsePrefix(s); err == nil {
			out.Addresses = append(out.Addresses, p.Addr())
		}
	}
	return out
}
