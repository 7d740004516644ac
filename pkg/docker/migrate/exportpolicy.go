// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/control/client"
)

// policies are all policies that there are.
func policies(ctx context.Context, c Control) (out []*controlpb.PolicyInfo, err error) {
	err = client.Snapshot(ctx, c, func(event *controlpb.WatchEvent) {
		if p := event.GetPolicy(); p != nil && !p.GetDeleting() {
			out = append(out, p)
		}
	})
	return out, err
}

func policyObject(p *controlpb.PolicyInfo) *v1alpha1.Policy {
	return &v1alpha1.Policy{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Policy"},
		ObjectMeta: metaOf(p.GetName(), p.GetLabels(), p.GetAnnotations()),
		Spec: v1alpha1.PolicySpec{
			Network: p.GetNetworkId(), Selector: selectorOf(p.GetSelector()), Priority: p.GetPriority(),
			Ingress: rulesOf(p.GetIngress()), Egress: rulesOf(p.GetEgress()),
		},
	}
}

var policyActions = map[string]v1alpha1.PolicyAction{
	"allow": v1alpha1.PolicyAllow, "deny": v1alpha1.PolicyDeny, "reject": v1alpha1.PolicyReject,
}

// rulesOf reads rules as PolicyInfo has them: all peers and ports are in its lists.
func rulesOf(rules []*controlpb.NetworkPolicyRule) (out []v1alpha1.PolicyRule) {
	for _, r := range rules {
		rule := v1alpha1.PolicyRule{Action: policyActions[r.GetAction()], Protocol: v1alpha1.PolicyProtocol(r.GetProtocol()), Log: r.GetLog()}
		for _, p := range r.GetPorts() {
			rule.Ports = append(rule.Ports, v1alpha1.PortRange{Port: int32(p.GetPort()), EndPort: int32(p.GetPortEnd())})
		}
		for _, p := range r.GetPeers() {
			rule.Peers = append(rule.Peers, v1alpha1.PolicyPeer{
				Network: p.GetNetwork(), CIDR: p.GetCidr(), Except: p.GetExcept(), Internet: p.GetInternet(), Selector: selectorOf(p.GetSelector()),
			})
		}
		out = append(out, rule)
	}
	return out
}

func selectorOf(s *controlpb.LabelSelector) *metav1.LabelSelector {
	if s == nil {
		return nil
	}
	out := &metav1.LabelSelector{MatchLabels: s.GetMatchLabels()}
	for _, e := range s.GetMatchExpressions() {
		out.MatchExpressions = append(out.MatchExpressions, metav1.LabelSelectorRequirement{
			Key: e.GetKey(), Operator: metav1.LabelSelectorOperator(e.GetOperator()), Values: e.GetValues(),
		})
	}
	return out
}
