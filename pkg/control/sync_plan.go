// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"maps"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// step is what a Sync does with one object.
type step struct {
	kind kind
	want *desired // nil: delete
	have object   // nil: create
	// replace: what changes cannot be changed in place.
	replace bool
}

// plan compares what a manager wants with what it has. others are objects of
// the wanted names that are not the manager's.
func plan(k kind, want []*desired, have []object) (steps []step, unchanged int) {
	byName := make(map[string]object, len(have))
	for _, o := range have {
		byName[o.GetName()] = o
	}
	for _, w := range want {
		h := byName[w.object.GetName()]
		delete(byName, w.object.GetName())
		switch {
		case h == nil:
			steps = append(steps, step{kind: k, want: w})
		case !h.GetDeletionTimestamp().IsZero() || mustReplace(w.object, h):
			steps = append(steps, step{kind: k, want: w, have: h, replace: true})
		case same(w.object, h):
			unchanged++
		default:
			steps = append(steps, step{kind: k, want: w, have: h})
		}
	}
	for _, h := range byName {
		steps = append(steps, step{kind: k, have: h})
	}
	return steps, unchanged
}

// same tells whether an object is as it is wanted. The request is the whole
// truth: what it does not say is to be unset.
func same(want, have object) bool {
	return maps.Equal(want.GetLabels(), have.GetLabels()) && maps.Equal(freeAnnotations(want), freeAnnotations(have)) && equality.Semantic.DeepEqual(specOf(want), specOf(have))
}

func specOf(o object) any {
	switch o := o.(type) {
	case *v1alpha1.Network:
		return &o.Spec
	case *v1alpha1.Attachment:
		return &o.Spec
	case *v1alpha1.Policy:
		return &o.Spec
	}
	return nil
}

// withSpec is have as it should be.
func withSpec(have, want object) object {
	next := have.DeepCopyObject().(object)
	next.SetLabels(want.GetLabels())
	annotations := freeAnnotations(want)
	for k, v := range have.GetAnnotations() {
		if isOurs(k) {
			annotations[k] = v
		}
	}
	next.SetAnnotations(annotations)
	switch n := next.(type) {
	case *v1alpha1.Network:
		n.Spec = want.(*v1alpha1.Network).Spec
	case *v1alpha1.Attachment:
		n.Spec = want.(*v1alpha1.Attachment).Spec
	case *v1alpha1.Policy:
		n.Spec = want.(*v1alpha1.Policy).Spec
	}
	return next
}

// mustReplace tells whether a field changes that the API keeps as it is.
func mustReplace(want, have object) bool {
	w, ok1 := want.(*v1alpha1.Attachment)
	h, ok2 := have.(*v1alpha1.Attachment)
	return ok1 && ok2 && (w.Spec.Network != h.Spec.Network || w.Spec.Node != h.Spec.Node ||
		w.Spec.Interface.Type != h.Spec.Interface.Type)
}
