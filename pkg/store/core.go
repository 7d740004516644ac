// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"net/http"

	"encoding/json"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapiserver "k8s.io/apiserver/pkg/server"
)

// serveCoreStub answers what clients ask of the core group before they do
// anything else: that it exists, and that there is a namespace "default".
// Nothing of it can be changed.
func serveCoreStub(server *genericapiserver.GenericAPIServer) {
	namespace := map[string]any{
		"kind": "Namespace", "apiVersion": "v1",
		"metadata": map[string]any{"name": "default"},
		"status":   map[string]any{"phase": "Active"},
	}
	for path, body := range map[string]any{
		"/api": metav1.APIVersions{
			TypeMeta: metav1.TypeMeta{Kind: "APIVersions"},
			Versions: []string{"v1"},
		},
		"/api/v1": metav1.APIResourceList{
			TypeMeta:     metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
			GroupVersion: "v1",
			APIResources: []metav1.APIResource{{Name: "namespaces", SingularName: "namespace", Kind: "Namespace", ShortNames: []string{"ns"}, Verbs: metav1.Verbs{"get", "list"}}},
		},
		"/api/v1/namespaces": map[string]any{
			"kind": "NamespaceList", "apiVersion": "v1", "metadata": map[string]any{}, "items": []any{namespace},
		},
		"/api/v1/namespaces/default": namespace,
	} {
		server.Handler.NonGoRestfulMux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				http.Error(w, "only GET is served here", http.StatusMethodNotAllowed)
				return
			}
			raw, err := json.Marshal(body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(raw)
		})
	}
}
