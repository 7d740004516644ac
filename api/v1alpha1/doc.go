// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 owns the API of group network.arca.dev: the types Network,
// Attachment and Policy, the validation that one object can answer by itself
// (CEL in the generated CRDs), and the names of conditions and reasons. It
// must not import other packages of this module, nor do I/O.
//
// +kubebuilder:object:generate=true
// +groupName=network.arca.dev
package v1alpha1
