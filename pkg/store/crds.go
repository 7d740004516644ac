// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
)

// installTimeout bounds the installation of all definitions.
const installTimeout = time.Minute

// InstallCRDs creates CustomResourceDefinitions, or brings those that are
// there to the given spec, and returns when all are served.
func InstallCRDs(ctx context.Context, config *rest.Config, crds []*apiextensionsv1.CustomResourceDefinition) error {
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	client, err := apiextensions.NewForConfig(config)
	if err != nil {
		return err
	}
	api := client.ApiextensionsV1().CustomResourceDefinitions()
	for _, crd := range crds {
		err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
			have, err := api.Get(ctx, crd.Name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				_, err = api.Create(ctx, crd, metav1.CreateOptions{})
				return err
			}
			if err != nil {
				return err
			}
			want := have.DeepCopy()
			want.Spec, want.Annotations = *crd.Spec.DeepCopy(), crd.Annotations
			apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&want.Spec)
			if equality.Semantic.DeepEqual(have.Spec, want.Spec) {
				return nil
			}
			_, err = api.Update(ctx, want, metav1.UpdateOptions{})
			return err
		})
		if err != nil {
			return fmt.Errorf("CustomResourceDefinition %s: %w", crd.Name, err)
		}
	}
	for _, crd := range crds {
		if err := awaitEstablished(ctx, client, crd.Name); err != nil {
			return fmt.Errorf("CustomResourceDefinition %s: %w", crd.Name, err)
		}
	}
	return nil
}

// awaitEstablished watches a definition until its objects are served.
func awaitEstablished(ctx context.Context, client apiextensions.Interface, name string) error {
	api := client.ApiextensionsV1().CustomResourceDefinitions()
	crd, err := api.Get(ctx, name, metav1.GetOptions{})
	if err != nil || established(crd) {
		return err
	}
	w, err := api.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name, ResourceVersion: crd.ResourceVersion})
	if err != nil {
		return err
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		if crd, ok := event.Object.(*apiextensionsv1.CustomResourceDefinition); ok && event.Type != watch.Deleted && established(crd) {
			return nil
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return awaitEstablished(ctx, client, name) // the watch ended early
}

func established(crd *apiextensionsv1.CustomResourceDefinition) bool {
	for _, c := range crd.Status.Conditions {
		if c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue {
			return true
		}
	}
	return false
}

// eventCRD lets components record events in the form of group events.k8s.io,
// which this API does not have by itself.
func eventCRD() *apiextensionsv1.CustomResourceDefinition {
	preserve := true
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{
			Name: "events.events.k8s.io",
			Annotations: map[string]string{
				"api-approved.kubernetes.io": "unapproved, served by arca-network in the place of the built-in kind",
			},
		},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "events.k8s.io",
			Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "events", Singular: "event", Kind: "Event", ListKind: "EventList", ShortNames: []string{"ev"}},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: &preserve,
				}},
				AdditionalPrinterColumns: []apiextensionsv1.CustomResourceColumnDefinition{
					{Name: "Type", Type: "string", JSONPath: ".type"},
					{Name: "Reason", Type: "string", JSONPath: ".reason"},
					{Name: "Kind", Type: "string", JSONPath: ".regarding.kind"},
					{Name: "Object", Type: "string", JSONPath: ".regarding.name"},
					{Name: "Message", Type: "string", JSONPath: ".note"},
					{Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp"},
				},
			}},
		},
	}
}
