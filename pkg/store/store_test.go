// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/config/crd"
	"github.com/vas-solutus/arca-network/pkg/store"
)

func TestStart(t *testing.T) {
	crds, err := crd.All()
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	s, err := store.Start(t.Context(), store.Options{Dir: t.TempDir(), CRDs: crds, Log: testr.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %v", time.Since(from))
	_ = v1alpha1.AddToScheme(scheme.Scheme)
	c, err := client.New(s.Config(), client.Options{Scheme: scheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	from = time.Now()
	for range 100 {
		n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{GenerateName: "n-"}}
		if err := c.Create(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("create: %v", time.Since(from)/100)
	from = time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped in %v", time.Since(from))
}
