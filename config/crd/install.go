// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"context"
	"fmt"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/typed/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// installTimeout bounds the installation of all definitions.
const installTimeout = time.Minute

// Install applies the definitions to a Kubernetes API and returns when they
// are served. It is for an API of others: the embedded store does it itself.
func Install(ctx context.Context, config *rest.Config) error {
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	client, err := apiextensions.NewForConfig(config)
	if err != nil {
		return err
	}
	definitions := client.CustomResourceDefinitions()
	crds, err := All()
	if err != nil {
		return err
	}
	force := true
	for _, crd := range crds {
		raw, err := yaml.Marshal(crd)
		if err != nil {
			return err
		}
		if _, err := definitions.Patch(ctx, crd.Name, types.ApplyYAMLPatchType, raw,
			metav1.PatchOptions{FieldManager: "arca-network", Force: &force}); err != nil {
			return fmt.Errorf("CustomResourceDefinition %s: %w", crd.Name, err)
		}
	}
	for _, crd := range crds {
		err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			now, err := definitions.Get(ctx, crd.Name, metav1.GetOptions{})
			return err == nil && established(now), err
		})
		if err != nil {
			return fmt.Errorf("CustomResourceDefinition %s is not served: %w", crd.Name, err)
		}
	}
	return nil
}

func established(crd *apiextensionsv1.CustomResourceDefinition) bool {
	for _, c := range crd.Status.Conditions {
		if c.Type == apiextensionsv1.Established {
			return c.Status == apiextensionsv1.ConditionTrue
		}
	}
	return false
}
