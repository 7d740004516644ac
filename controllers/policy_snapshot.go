// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/policy"
)

// policySnapshot is everything that policies depend on at one moment, and what
// follows from it.
type policySnapshot struct {
	policies    []*v1alpha1.Policy // also those that are being deleted
	attachments []v1alpha1.Attachment
	selectors   map[string]policy.Selector // of what is in force, by key
	subjects    map[string]bool            // keys of those that policies are for
	survey      policy.Survey
	verdicts    map[string]policy.Verdict
	program     *policy.Program
}

// takePolicySnapshot reads the caches and decides. Attachments are read where
// a selector asks for them.
func takePolicySnapshot(ctx context.Context, c client.Reader) (*policySnapshot, error) {
	var policies v1alpha1.PolicyList
	if err := c.List(ctx, &policies); err != nil {
		return nil, err
	}
	s := &policySnapshot{selectors: map[string]policy.Selector{}, subjects: map[string]bool{}}
	var live []*v1alpha1.Policy
	selects := false
	for i := range policies.Items {
		p := &policies.Items[i]
		s.policies = append(s.policies, p)
		if p.DeletionTimestamp.IsZero() {
			live = append(live, p)
			selects = selects || len(policy.Selectors(p)) > 0
			if spec := p.SpecInForce(); spec != nil {
				selects = selects || len(policy.Selectors(p.WithSpec(spec))) > 0
			}
		}
	}
	var networks []policy.Network
	if len(s.policies) > 0 { // or nothing comes of them, and each new network would cost as much as there are
		var err error
		if networks, err = policyNetworks(ctx, c); err != nil {
			return nil, err
		}
	}
	endpoints, err := s.readAttachments(ctx, c, selects)
	if err != nil {
		return nil, err
	}
	s.survey = policy.Look(live, endpoints)
	s.verdicts = policy.Judge(policy.Case{Networks: networks, Survey: s.survey, Policies: live})
	inForce := policy.InForce(live, s.verdicts)
	for _, p := range inForce {
		for key, selector := range policy.Selectors(p) {
			s.selectors[key] = selector
		}
		if subject, ok := policy.SubjectSelector(p); ok {
			s.subjects[subject.Key] = true
		}
	}
	s.program, err = policy.Compile(policy.Input{Networks: networks, Policies: inForce, Selected: s.survey.Selected})
	return s, err
}

// policyNetworks reads the networks whose subnets are known.
func policyNetworks(ctx context.Context, c client.Reader) ([]policy.Network, error) {
	var list v1alpha1.NetworkList
	if err := c.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	var out []policy.Network
	for i := range list.Items {
		if len(list.Items[i].Status.Subnets) == 0 {
			continue
		}
		n, err := policy.NetworkOf(list.Items[i].AsInForce())
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// readAttachments reads the attachments that hold addresses.
func (s *policySnapshot) readAttachments(ctx context.Context, c client.Reader, needed bool) ([]policy.Endpoint, error) {
	if !needed {
		return nil, nil
	}
	var list v1alpha1.AttachmentList
	if err := c.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	var out []policy.Endpoint
	for _, a := range list.Items {
		if len(a.Status.Addresses) == 0 {
			continue
		}
		s.attachments = append(s.attachments, a)
		out = append(out, policy.Endpoint{Network: a.Spec.Network, Labels: labels.Set(a.Labels)})
	}
	return out, nil
}
