// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/diagnose"
)

func policyAt(name string, second int64, spec v1alpha1.PolicySpec, conditions ...metav1.Condition) v1alpha1.Policy {
	return v1alpha1.Policy{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Unix(second, 0))},
		Spec:       spec, Status: v1alpha1.PolicyStatus{Conditions: conditions},
	}
}

func condition(kind, reason, message string, status metav1.ConditionStatus) metav1.Condition {
	return metav1.Condition{Type: kind, Reason: reason, Message: message, Status: status}
}

// TestPolicy: whom a policy is for, what comes before it, and what does not
// stop it from working.
func TestPolicy(t *testing.T) {
	accepted := condition(v1alpha1.ConditionAccepted, v1alpha1.ReasonAccepted, "", metav1.ConditionTrue)
	shop := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "shop"}}
	all := []v1alpha1.Policy{
		policyAt("this", 5, v1alpha1.PolicySpec{Network: "web", Priority: 5}, accepted,
			condition(v1alpha1.ConditionResolvedRefs, v1alpha1.ReasonNothingSelected, "spec.ingress[0].peers[0].selector", metav1.ConditionFalse),
			condition(v1alpha1.ConditionProgrammed, v1alpha1.ReasonProgrammed, "", metav1.ConditionTrue),
			condition(v1alpha1.ConditionReady, v1alpha1.ReasonReady, "", metav1.ConditionTrue)),
		policyAt("before", 9, v1alpha1.PolicySpec{Selector: shop, Priority: 4}, accepted),
		policyAt("older", 4, v1alpha1.PolicySpec{Network: "web", Priority: 5}, accepted),
		policyAt("newer", 6, v1alpha1.PolicySpec{Network: "web", Priority: 5}, accepted),
		{ObjectMeta: metav1.ObjectMeta{Name: "changed"}, Spec: v1alpha1.PolicySpec{Network: "web", Priority: 9},
			Status: v1alpha1.PolicyStatus{InForce: &v1alpha1.PolicySpec{Network: "web", Priority: 3}}},
		policyAt("elsewhere", 1, v1alpha1.PolicySpec{Network: "db"}, accepted),
		policyAt("refused", 1, v1alpha1.PolicySpec{Network: "web"}),
	}
	attachments := []v1alpha1.Attachment{
		{ObjectMeta: metav1.ObjectMeta{Name: "web-1", Labels: map[string]string{"app": "shop"}}, Spec: v1alpha1.AttachmentSpec{Network: "web"}},
		{ObjectMeta: metav1.ObjectMeta{Name: "web-2"}, Spec: v1alpha1.AttachmentSpec{Network: "web"}},
		{ObjectMeta: metav1.ObjectMeta{Name: "db-1"}, Spec: v1alpha1.AttachmentSpec{Network: "db"}},
	}
	findings := diagnose.Policy(&all[0], all, attachments)
	if !diagnose.Ready(findings) {
		t.Errorf("a policy that works is said not to: %+v", findings)
	}
	var text []string
	for _, f := range findings {
		text = append(text, f.What+" "+f.Found+" "+f.Do)
	}
	got := strings.Join(text, "\n")
	for _, want := range []string{"is for 2: web-1, web-2", "decide first: before (priority 4), older (priority 5), changed (priority 3)\x20", "NothingSelected: spec.ingress[0].peers[0].selector label"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}

	conflict := policyAt("newer", 6, v1alpha1.PolicySpec{Network: "web"},
		condition(v1alpha1.ConditionAccepted, v1alpha1.ReasonPriorityConflict, "spec.priority", metav1.ConditionFalse))
	conflict.Status.InForce = &v1alpha1.PolicySpec{Network: "web", Ingress: make([]v1alpha1.PolicyRule, 3)}
	if findings := diagnose.Policy(&conflict, nil, nil); !slices.ContainsFunc(findings, func(f diagnose.Finding) bool {
		return f.What == "in force" && strings.Contains(f.Found, "3 ingress and 0 egress rules")
	}) {
		t.Errorf("got %+v", findings)
	}
	if findings := diagnose.Policy(&conflict, nil, nil); diagnose.Ready(findings) || !strings.Contains(findings[0].Do, "spec.priority") {
		t.Errorf("got %+v", findings)
	}
}
