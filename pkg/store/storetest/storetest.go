// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package storetest starts an embedded store for the tests of other packages.
// It must not be used outside tests.
package storetest

import (
	"context"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/rest"

	"github.com/vas-solutus/arca-network/pkg/store"
)

// Start runs a store in a temporary folder with the definitions installed, and
// stops it when the test ends.
func Start(t testing.TB, crds ...*apiextensionsv1.CustomResourceDefinition) *rest.Config {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := store.Start(ctx, store.Options{Dir: t.TempDir(), CRDs: crds})
	if err != nil {
		t.Fatalf("starting a store: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stopping the store: %v", err)
		}
	})
	return s.Config()
}
