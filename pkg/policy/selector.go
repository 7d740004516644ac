// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// Selector selects attachments by label. Selectors that say the same have the
// same key, and share address sets.
type Selector struct {
	labels.Selector
	Key string
}

// selectorOf reads a selector; field names it in errors.
func selectorOf(field string, s *metav1.LabelSelector) (Selector, error) {
	parsed, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return Selector{}, fmt.Errorf("%s: %w", field, err)
	}
	sum := sha256.Sum256([]byte(parsed.String()))
	return Selector{Selector: parsed, Key: hex.EncodeToString(sum[:8])}, nil
}

// Selectors returns the selectors that a policy has, by key: of its subject
// and of its peers. Broken ones are left out; such a policy is not accepted.
func Selectors(p *v1alpha1.Policy) map[string]Selector {
	out := map[string]Selector{}
	add := func(s *metav1.LabelSelector) {
		if s == nil {
			return
		}
		if parsed, err := selectorOf("", s); err == nil {
			out[parsed.Key] = parsed
		}
	}
	add(p.Spec.Selector)
	for _, r := range append(p.Spec.Ingress[:len(p.Spec.Ingress):len(p.Spec.Ingress)], p.Spec.Egress...) {
		for _, peer := range r.Peers {
			add(peer.Selector)
		}
	}
	return out
}

// SubjectSelector returns the selector of a policy that is for endpoints by
// label.
func SubjectSelector(p *v1alpha1.Policy) (Selector, bool) {
	if p.Spec.Selector == nil {
		return Selector{}, false
	}
	s, err := selectorOf("spec.selector", p.Spec.Selector)
	return s, err == nil
}
