// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crd owns the CustomResourceDefinitions that are generated from
// api/v1alpha1, embedded so that arca-network can install them by itself. Its
// YAML files are written by `make generate` and by nobody else.
package crd

import (
	"embed"
	"fmt"
	"io/fs"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

//go:embed bases/*.yaml
var bases embed.FS

// All returns the CustomResourceDefinitions of group network.arca.dev.
func All() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	files, err := fs.Glob(bases, "bases/*.yaml")
	if err != nil {
		return nil, err
	}
	var crds []*apiextensionsv1.CustomResourceDefinition
	for _, f := range files {
		raw, err := bases.ReadFile(f)
		if err != nil {
			return nil, err
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(raw, crd); err != nil {
			return nil, fmt.Errorf("embedded %s: %w", f, err)
		}
		crds = append(crds, crd)
	}
	return crds, nil
}
