// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/vas-solutus/arca-network/pkg/store"
)

var widgets = schema.GroupVersionResource{Group: "test.arca.dev", Version: "v1", Resource: "widgets"}

// widgetCRD is a small definition with what ours have: CEL, a status with
// conditions, columns, a short name.
func widgetCRD() *apiextensionsv1.CustomResourceDefinition {
	listMap := "map"
	spec := apiextensionsv1.JSONSchemaProps{
		Type:        "object",
		Description: "Spec is what is wanted of the widget.",
		Properties: map[string]apiextensionsv1.JSONSchemaProps{
			"size":  {Type: "integer", Description: "Size in millimetres."},
			"color": {Type: "string"},
			"note":  {Type: "string"},
		},
		XValidations: apiextensionsv1.ValidationRules{{
			Rule: "!has(self.size) || self.size < 100", Message: "size must be below 100",
		}},
	}
	condition := apiextensionsv1.JSONSchemaProps{
		Type: "object", Required: []string{"type", "status"},
		Properties: map[string]apiextensionsv1.JSONSchemaProps{
			"type": {Type: "string"}, "status": {Type: "string"}, "reason": {Type: "string"},
			"message": {Type: "string"}, "lastTransitionTime": {Type: "string", Format: "date-time"},
		},
	}
	status := apiextensionsv1.JSONSchemaProps{
		Type: "object",
		Properties: map[string]apiextensionsv1.JSONSchemaProps{
			"conditions": {
				Type: "array", Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &condition},
				XListType: &listMap, XListMapKeys: []string{"type"},
			},
		},
	}
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "widgets.test.arca.dev"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: widgets.Group,
			Names: apiextensionsv1.CustomResourceDefinitionNames{
				Plural: "widgets", Singular: "widget", Kind: "Widget", ListKind: "WidgetList", ShortNames: []string{"wd"},
			},
			Scope: apiextensionsv1.ClusterScoped,
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", Description: "Widget is a thing of a size.",
					Properties: map[string]apiextensionsv1.JSONSchemaProps{"spec": spec, "status": status},
				}},
				Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}},
				AdditionalPrinterColumns: []apiextensionsv1.CustomResourceColumnDefinition{
					{Name: "Size", Type: "integer", JSONPath: ".spec.size"},
					{Name: "Ready", Type: "string", JSONPath: `.status.conditions[?(@.type=="Ready")].status`},
				},
			}},
		},
	}
}

func widget(name string, size int64) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "test.arca.dev/v1", "kind": "Widget",
		"metadata": map[string]any{"name": name},
		"spec":     map[string]any{"size": size},
	}}
}

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func shortContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// startStore starts a store with the widget definition; the test stops it.
func startStore(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	return startWith(t, o, widgetCRD())
}

// startWith is startStore with a definition of the test's own.
func startWith(t testing.TB, o store.Options, crd *apiextensionsv1.CustomResourceDefinition) *store.Store {
	t.Helper()
	o.CRDs = append(o.CRDs, crd)
	s, err := store.Start(testContext(t), o)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	return s
}

func stopStore(t testing.TB, s *store.Store) {
	t.Helper()
	if err := s.Stop(testContext(t)); err != nil {
		t.Fatalf("Stop: %v", err)
	}
	if err := s.Err(); err != nil {
		t.Fatalf("Err after Stop: %v", err)
	}
}

func widgetClient(t testing.TB, config *rest.Config) dynamic.ResourceInterface {
	t.Helper()
	client, err := newWidgetClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func newWidgetClient(config *rest.Config) (dynamic.ResourceInterface, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return client.Resource(widgets), nil
}

func createWidgets(t testing.TB, client dynamic.ResourceInterface, from, to int) {
	t.Helper()
	ctx := testContext(t)
	for i := from; i < to; i++ {
		if _, err := client.Create(ctx, widget(fmt.Sprintf("w-%d", i), 1), metav1.CreateOptions{}); err != nil {
			t.Fatalf("creating widget %d: %v", i, err)
		}
	}
}

func countWidgets(t testing.TB, client dynamic.ResourceInterface) int {
	t.Helper()
	list, err := client.List(testContext(t), metav1.ListOptions{})
	if err != nil {
		t.Fatalf("listing widgets: %v", err)
	}
	return len(list.Items)
}
