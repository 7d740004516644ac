// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// finalizing puts finalizers on new objects, so that no controller has to.
type finalizing map[schema.GroupResource][]string

var _ admission.MutationInterface = finalizing{}

// Handles tells that only creations are looked at.
func (finalizing) Handles(operation admission.Operation) bool { return operation == admission.Create }

// Admit adds what is missing.
func (f finalizing) Admit(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	finalizers := f[a.GetResource().GroupResource()]
	object, ok := a.GetObject().(client.Object)
	if !ok || a.GetSubresource() != "" {
		return nil
	}
	for _, name := range finalizers {
		controllerutil.AddFinalizer(object, name)
	}
	return nil
}
