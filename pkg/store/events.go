// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"net/http"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// There is no built-in Event here. This definition has its group and shape, so
// that the event recorder of a controller-runtime manager works as it is.

var eventsResource = schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}

const eventsPath = "/apis/events.k8s.io/v1/"

func eventsCRD() *apiextensionsv1.CustomResourceDefinition {
	text := apiextensionsv1.JSONSchemaProps{Type: "string"}
	number := apiextensionsv1.JSONSchemaProps{Type: "integer", Format: "int32"}
	moment := apiextensionsv1.JSONSchemaProps{Type: "string", Format: "date-time", Nullable: true}
	reference := object(map[string]apiextensionsv1.JSONSchemaProps{
		"apiVersion": text, "fieldPath": text, "kind": text, "name": text,
		"namespace": text, "resourceVersion": text, "uid": text,
	})
	event := object(map[string]apiextensionsv1.JSONSchemaProps{
		"apiVersion": text, "kind": text, "metadata": {Type: "object"},
		"action": text, "note": text, "reason": text, "type": text,
		"reportingController": text, "reportingInstance": text,
		"eventTime": moment, "regarding": reference, "related": reference,
		"series":                   object(map[string]apiextensionsv1.JSONSchemaProps{"count": number, "lastObservedTime": moment}),
		"deprecatedCount":          number,
		"deprecatedFirstTimestamp": moment,
		"deprecatedLastTimestamp":  moment,
		"deprecatedSource":         object(map[string]apiextensionsv1.JSONSchemaProps{"component": text, "host": text}),
	})
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{
			Name: eventsResource.Resource + "." + eventsResource.Group,
			Annotations: map[string]string{
				apiextensionsv1.KubeAPIApprovedAnnotation: "unapproved, stands in for the built-in events of a Kubernetes API server",
			},
		},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: eventsResource.Group,
			Names: apiextensionsv1.CustomResourceDefinitionNames{
				Plural: eventsResource.Resource, Singular: "event", Kind: "Event", ListKind: "EventList", ShortNames: []string{"ev"},
			},
			Scope: apiextensionsv1.NamespaceScoped,
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: eventsResource.Version, Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &event},
				AdditionalPrinterColumns: []apiextensionsv1.CustomResourceColumnDefinition{
					{Name: "Last Seen", Type: "date", JSONPath: ".metadata.creationTimestamp"},
					{Name: "Type", Type: "string", JSONPath: ".type"},
					{Name: "Reason", Type: "string", JSONPath: ".reason"},
					{Name: "Kind", Type: "string", JSONPath: ".regarding.kind"},
					{Name: "Object", Type: "string", JSONPath: ".regarding.name"},
					{Name: "Count", Type: "integer", JSONPath: ".series.count", Priority: 1},
					{Name: "Note", Type: "string", JSONPath: ".note"},
				},
				SelectableFields: []apiextensionsv1.SelectableField{
					{JSONPath: ".regarding.kind"}, {JSONPath: ".regarding.name"}, {JSONPath: ".regarding.uid"},
					{JSONPath: ".reason"}, {JSONPath: ".type"},
				},
			}},
		},
	}
}

func object(properties map[string]apiextensionsv1.JSONSchemaProps) apiextensionsv1.JSONSchemaProps {
	return apiextensionsv1.JSONSchemaProps{Type: "object", Properties: properties}
}

// mergeEventPatches lets the recorder count a repeated event: it sends a
// strategic merge patch, which custom resources do not take. What it contains,
// a series of two plain fields, means the same as a merge patch.
func mergeEventPatches(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch && strings.HasPrefix(r.URL.Path, eventsPath) &&
			r.Header.Get("Content-Type") == string(types.StrategicMergePatchType) {
			r.Header.Set("Content-Type", string(types.MergePatchType))
		}
		next.ServeHTTP(w, r)
	})
}
