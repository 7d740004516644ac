// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/policy"
)

// PolicyReconciler accepts policies and keeps their northbound rows. All
// policies are one request: what one means depends on the others beside it,
// and many changes cost ovn-controller one recomputation.
type PolicyReconciler struct {
	Client     client.Client
	Recorder   events.EventRecorder
	Northbound Northbound
	Book       *PolicyBook
	// Trigger asks for policies to be looked at, by whatever name.
	Trigger *Trigger
	// Attachments is triggered for those that waited for rows of policies.
	Attachments *Trigger
}

// allPolicies is the name of the one request.
var allPolicies = policy.Owner().Name

// SetupWithManager registers the reconciler.
func (r *PolicyReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.Trigger.Enqueue(allPolicies)
	return ctrl.NewControllerManagedBy(mgr).
		Named("policy").
		Watches(&v1alpha1.Policy{}, one(allPolicies), builder.WithPredicates(specChanged(v1alpha1.ConditionAccepted,
			v1alpha1.ConditionResolvedRefs, v1alpha1.ConditionProgrammed, v1alpha1.ConditionReady))).
		Watches(&v1alpha1.Network{}, one(allPolicies), builder.WithPredicates(policiesNetworkChanged())).
		WatchesRawSource(r.Trigger).
		WithOptions(controller.Options{RateLimiter: rateLimiter(), ReconciliationTimeout: callTimeout}).
		Complete(r)
}

// Reconcile makes the northbound database hold what all policies stand for.
func (r *PolicyReconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	if err := r.Book.Load(ctx, r.Client); err != nil {
		return ctrl.Result{}, err
	}
	s, err := takePolicySnapshot(ctx, r.Client)
	if err != nil {
		return ctrl.Result{}, err
	}
	for _, p := range s.policies {
		if !p.DeletionTimestamp.IsZero() {
			continue
		}
		if err := ensureFinalizers(ctx, r.Client, p, v1alpha1.CentralFinalizer); err != nil {
			return settle(ctrl.Result{}, err)
		}
	}
	r.Book.Publish(s)
	changed, syncErr := r.Northbound.Update(ctx, policy.Owner(), s.program.Rows)
	if syncErr == nil {
		if changed {
			ctrl.LoggerFrom(ctx).V(1).Info("Policies written", "policies", len(s.policies), "rows", len(s.program.Rows))
		}
		r.Attachments.Enqueue(r.Book.Written()...)
	}
	var waits error
	for _, p := range s.policies {
		if err := r.settlePolicy(ctx, p, s.verdicts[p.Name], syncErr); err != nil {
			waits = errors.Join(waits, err)
		}
	}
	var missing *ovnsync.MissingParentError
	if errors.As(syncErr, &missing) {
		syncErr = nil // the network's reconciler tells when it is there
	}
	if syncErr != nil {
		return ctrl.Result{}, syncErr
	}
	return settle(ctrl.Result{}, waits)
}

// settlePolicy writes what became of one policy to its status, or lets it go
// once its rows are gone.
func (r *PolicyReconciler) settlePolicy(ctx context.Context, p *v1alpha1.Policy, v policy.Verdict, syncErr error) error {
	if !p.DeletionTimestamp.IsZero() {
		if syncErr != nil {
			return nil
		}
		return removeFinalizer(ctx, r.Client, p, v1alpha1.CentralFinalizer)
	}
	before := p.DeepCopy()
	p.Status.ObservedGeneration = p.Generation
	p.Status.InForce = v.InForce.DeepCopy()
	if v.Accepted() {
		r.accept(p, v, syncErr)
	} else {
		refuse(r.Recorder, p, &Refusal{Reason: v.Reason, Message: v.Message})
	}
	if v.InForce == nil {
		// Nor are the rules in force that it had before: there is nothing left
		// that they could be for.
		setCondition(p, v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonNotAccepted, v.Message)
		setCondition(p, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNotAccepted, v.Message)
	}
	return updateStatus(ctx, r.Client, before, p)
}

func (r *PolicyReconciler) accept(p *v1alpha1.Policy, v policy.Verdict, syncErr error) {
	setCondition(p, v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted, "")
	if v.Unresolved == "" {
		setCondition(p, v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs, "")
	} else {
		if c := findCondition(p, v1alpha1.ConditionResolvedRefs); c == nil || c.Message != v.Unresolved {
			r.Recorder.Eventf(p, nil, "Warning", v.UnresolvedReason, "Resolve", "%s", v.Unresolved)
		}
		setCondition(p, v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v.UnresolvedReason, v.Unresolved)
	}
	if syncErr != nil {
		_ = unprogrammed(p, syncErr) // returned by the caller, once
		return
	}
	setCondition(p, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "")
	if n := r.Book.Missing(p); n > 0 {
		setCondition(p, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPending,
			fmt.Sprintf("waits for %d endpoints to join the address sets that select them", n))
		return
	}
	setCondition(p, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "")
}
