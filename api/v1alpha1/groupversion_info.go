// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is the API group and version of every kind in this package.
	GroupVersion = schema.GroupVersion{Group: "network.arca.dev", Version: "v1alpha1"}

	schemeBuilder = runtime.NewSchemeBuilder(func(s *runtime.Scheme) error {
		s.AddKnownTypes(GroupVersion,
			&Network{}, &NetworkList{},
			&Attachment{}, &AttachmentList{},
			&Policy{}, &PolicyList{})
		metav1.AddToGroupVersion(s, GroupVersion)
		return nil
	})

	// AddToScheme adds the kinds of this package to a scheme.
	AddToScheme = schemeBuilder.AddToScheme
)

// Finalizer holds an object back until what was made for it outside the API
// (rows, ports, links) is gone.
const (
	// CentralFinalizer is removed when the object's northbound rows are gone.
	CentralFinalizer = "network.arca.dev/northbound"
	// NodeFinalizer is removed when the object's port on its host is gone.
	NodeFinalizer = "network.arca.dev/port"
)
