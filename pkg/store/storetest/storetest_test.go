// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package storetest_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/vas-solutus/arca-network/pkg/store/storetest"
)

// The API server can stand in for the one that envtest would start.
func TestEnvtest(t *testing.T) {
	existing := true
	environment := envtest.Environment{UseExistingCluster: &existing, Config: storetest.Start(t)}
	config, err := environment.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := environment.Stop(); err != nil {
			t.Error(err)
		}
	}()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Namespaces().Get(t.Context(), metav1.NamespaceDefault, metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}
