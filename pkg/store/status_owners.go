// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
)

// anonymousStatus forgets who has written which field of a status: only its
// controllers do, and the list is longer than the status. Who owns the fields
// of a spec is kept, which server-side apply needs.
type anonymousStatus struct{}

var _ admission.MutationInterface = anonymousStatus{}

// Handles tells that only changes are looked at: an object begins without a status.
func (anonymousStatus) Handles(operation admission.Operation) bool {
	return operation == admission.Update
}

// Admit takes the entries of those who did not use server-side apply. Theirs
// stays: it tells what to take away that they no longer apply.
func (anonymousStatus) Admit(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if a.GetSubresource() != "status" {
		return nil
	}
	object, err := meta.Accessor(a.GetObject())
	if err != nil {
		return nil // nothing that has owners
	}
	owners := object.GetManagedFields()
	kept := slices.DeleteFunc(slices.Clone(owners), func(e metav1.ManagedFieldsEntry) bool {
		return e.Subresource == "status" && e.Operation == metav1.ManagedFieldsOperationUpdate
	})
	if len(kept) < len(owners) {
		object.SetManagedFields(kept)
	}
	return nil
}
