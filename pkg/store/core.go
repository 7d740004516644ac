// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/server/mux"
)

// The core group has no objects here. Clients expect it to exist all the same:
// kubectl asks for its resources, envtest waits for the namespace "default".
// What they read is fixed; nothing can be written.

type namespace struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        namespaceMeta  `json:"metadata"`
	Spec            map[string]any `json:"spec"`
	Status          map[string]any `json:"status"`
}

type namespaceMeta struct {
	Name              string `json:"name"`
	UID               string `json:"uid"`
	ResourceVersion   string `json:"resourceVersion"`
	CreationTimestamp string `json:"creationTimestamp"`
}

// serveCore answers for the core group.
func serveCore(paths *mux.PathRecorderMux) {
	defaultNamespace := namespace{
		TypeMeta: metav1.TypeMeta{Kind: "Namespace", APIVersion: "v1"},
		Metadata: namespaceMeta{
			Name: metav1.NamespaceDefault, UID: "00000000-0000-0000-0000-000000000001", ResourceVersion: "1",
			CreationTimestamp: time.Unix(0, 0).UTC().Format(time.RFC3339),
		},
		Spec:   map[string]any{},
		Status: map[string]any{"phase": "Active"},
	}
	serveFixed(paths, "/api", metav1.APIVersions{
		TypeMeta:                   metav1.TypeMeta{Kind: "APIVersions"},
		Versions:                   []string{"v1"},
		ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{},
	})
	serveFixed(paths, "/api/v1", metav1.APIResourceList{
		TypeMeta:     metav1.TypeMeta{Kind: "APIResourceList"},
		GroupVersion: "v1",
		APIResources: []metav1.APIResource{{
			Name: "namespaces", SingularName: "namespace", Kind: "Namespace", ShortNames: []string{"ns"},
			Verbs: metav1.Verbs{"get", "list"},
		}},
	})
	serveFixed(paths, "/api/v1/namespaces", map[string]any{
		"kind": "NamespaceList", "apiVersion": "v1",
		"metadata": map[string]any{"resourceVersion": "1"},
		"items":    []namespace{defaultNamespace},
	})
	serveFixed(paths, "/api/v1/namespaces/"+metav1.NamespaceDefault, defaultNamespace)
}

func serveFixed(paths *mux.PathRecorderMux, path string, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // fixed values, marshalled at every start
	}
	paths.Handle(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead || r.URL.Query().Has("watch") {
			refuse(w)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}))
}

func refuse(w http.ResponseWriter) {
	body, _ := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure,
		Reason:   metav1.StatusReasonMethodNotAllowed,
		Message:  "the core group is read-only here, and cannot be watched",
		Code:     http.StatusMethodNotAllowed,
	})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusMethodNotAllowed)
	_, _ = w.Write(body)
}
