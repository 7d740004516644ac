// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/internal/golden"
	"github.com/vas-solutus/arca-network/pkg/policy"
)

// TestGolden: what becomes of the policies among objects, and their rows.
func TestGolden(t *testing.T) { golden.Run(t, outcomeOf) }

func outcomeOf(t *testing.T, documents []golden.Document) string {
	t.Helper()
	var (
		networks  []policy.Network
		endpoints []policy.Endpoint
		policies  []*v1alpha1.Policy
	)
	for _, d := range documents {
		switch d.Kind {
		case "Network":
			n, err := policy.NetworkOf(golden.Into(t, d, &v1alpha1.Network{}))
			if err != nil {
				t.Fatal(err)
			}
			networks = append(networks, n)
		case "Attachment":
			a := golden.Into(t, d, &v1alpha1.Attachment{})
			endpoints = append(endpoints, policy.Endpoint{Network: a.Spec.Network, Labels: labels.Set(a.Labels)})
		case "Policy":
			policies = append(policies, golden.Into(t, d, &v1alpha1.Policy{}))
		default:
			t.Fatalf("unknown kind %q", d.Kind)
		}
	}
	survey := policy.Look(policies, endpoints)
	verdicts := policy.Judge(policy.Case{Networks: networks, Survey: survey, Policies: policies})
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(verdicts)) {
		v := verdicts[name]
		former := ""
		if !v.Accepted() && v.InForce != nil {
			former = ", what was accepted before stays"
		}
		fmt.Fprintf(&b, "policy %s: accepted %v%s\n", name, v.Accepted(), former)
		for _, s := range [][2]string{{v.Reason, v.Message}, {v.UnresolvedReason, v.Unresolved}} {
			if s[0] != "" {
				fmt.Fprintf(&b, "  %s: %s\n", s[0], s[1])
			}
		}
	}
	program, err := policy.Compile(policy.Input{Networks: networks, Policies: policy.InForce(policies, verdicts), Selected: survey.Selected})
	if err != nil {
		t.Fatal(err)
	}
	b.WriteString(golden.Rows(program.Rows))
	return b.String()
}
