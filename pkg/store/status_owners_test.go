// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/vas-solutus/arca-network/pkg/store"
)

// Who owns the fields of a spec is kept, and those of a status where somebody
// applies it; who else wrote the status is not.
func TestStatusHasNoOwners(t *testing.T) {
	s := startStore(t, store.Options{Dir: t.TempDir()})
	defer stopStore(t, s)
	client, ctx := widgetClient(t, s.Config()), testContext(t)
	ready := func(o *unstructured.Unstructured, reason string) *unstructured.Unstructured {
		o.Object["status"] = map[string]any{"conditions": []any{
			map[string]any{"type": "Ready", "status": "True", "reason": reason}}}
		return o
	}
	wantOwners := func(o *unstructured.Unstructured, want ...string) {
		t.Helper()
		var got []string
		for _, e := range o.GetManagedFields() {
			got = append(got, e.Manager+" "+string(e.Operation)+" "+e.Subresource)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("owners are %q, want %q", got, want)
		}
	}
	o, err := client.Create(ctx, widget("w", 1), metav1.CreateOptions{FieldManager: "maker"})
	if err != nil {
		t.Fatal(err)
	}
	o, err = client.UpdateStatus(ctx, ready(o, "First"), metav1.UpdateOptions{FieldManager: "controller"})
	if err != nil {
		t.Fatal(err)
	}
	wantOwners(o, "maker Update ")

	same, err := client.UpdateStatus(ctx, o.DeepCopy(), metav1.UpdateOptions{FieldManager: "controller"})
	if err != nil {
		t.Fatal(err)
	}
	if same.GetResourceVersion() != o.GetResourceVersion() {
		t.Error("a status that is as it was has been written")
	}

	applied := ready(widget("w", 1), "Second")
	delete(applied.Object, "spec")
	o, err = client.ApplyStatus(ctx, "w", applied, metav1.ApplyOptions{FieldManager: "applier", Force: true})
	if err != nil {
		t.Fatal(err)
	}
	wantOwners(o, "applier Apply status", "maker Update ")

	// What is no longer applied to a spec goes, after all this.
	painted := widget("w", 2)
	painted.Object["spec"].(map[string]any)["color"] = "red"
	for _, w := range []*unstructured.Unstructured{painted, widget("w", 2)} {
		if o, err = client.Apply(ctx, "w", w, metav1.ApplyOptions{FieldManager: "painter", Force: true}); err != nil {
			t.Fatal(err)
		}
	}
	if color, found, _ := unstructured.NestedString(o.Object, "spec", "color"); found {
		t.Errorf("spec.color is still %q", color)
	}
}
