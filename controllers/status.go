// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

// conditioned is an API object with conditions.
type conditioned interface {
	client.Object
	GetConditions() *[]metav1.Condition
}

// setCondition sets one condition for the object's present generation. The
// transition time moves only when the status does.
func setCondition(o conditioned, conditionType string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(o.GetConditions(), metav1.Condition{
		Type:               conditionType,
		Status:             status,
		Reason:             reason,
		Message:            message,
		ObservedGeneration: o.GetGeneration(),
	})
}

// isTrue tells whether a condition is true for the object's present generation.
func isTrue(o conditioned, conditionType string) bool {
	c := meta.FindStatusCondition(*o.GetConditions(), conditionType)
	return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == o.GetGeneration()
}

// wasTrue tells whether a condition is true, for whatever generation.
func wasTrue(o conditioned, conditionType string) bool {
	return meta.IsStatusConditionTrue(*o.GetConditions(), conditionType)
}

// updateStatus writes the status of now where it differs from that of before.
// It is refused as a conflict where somebody else wrote in between: conditions
// are a list, and two reconcilers write to an attachment's. An update costs the
// API about half of a patch.
func updateStatus(ctx context.Context, c client.Client, before, now conditioned) error {
	if equality.Semantic.DeepEqual(before, now) {
		return nil
	}
	return c.Status().Update(ctx, now)
}

// ensureFinalizers adds what is missing in one write.
func ensureFinalizers(ctx context.Context, c client.Client, o client.Object, finalizers ...string) error {
	changed := false
	for _, f := range finalizers {
		changed = controllerutil.AddFinalizer(o, f) || changed
	}
	if !changed {
		return nil
	}
	return c.Update(ctx, o)
}

// removeFinalizer lets the object go as far as we are concerned.
func removeFinalizer(ctx context.Context, c client.Client, o client.Object, finalizer string) error {
	if !controllerutil.RemoveFinalizer(o, finalizer) {
		return nil
	}
	return client.IgnoreNotFound(c.Update(ctx, o))
}

// settle turns what is no fault of the object's into a quiet retry: the object
// changed under us or went away, a database is out of reach, or a row that ours
// belong to is not there yet. An event follows each; the delay is for one that
// got lost.
func settle(res ctrl.Result, err error) (ctrl.Result, error) {
	var missing *ovnsync.MissingParentError
	switch {
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: conflictDelay}, nil
	case apierrors.IsNotFound(err):
		return ctrl.Result{}, nil
	case errors.Is(err, ovnsync.ErrDisconnected), errors.Is(err, vnet.ErrNotConnected), errors.As(err, &missing):
		return ctrl.Result{RequeueAfter: outageDelay}, nil
	}
	return res, err
}
