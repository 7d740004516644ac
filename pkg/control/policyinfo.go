// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

func policyInfo(p *v1alpha1.Policy) *controlpb.PolicyInfo {
	return &controlpb.PolicyInfo{
		Name:        p.Name,
		NetworkId:   p.Spec.Network,
		Rules:       int32(len(p.Spec.Ingress) + len(p.Spec.Egress)),
		Labels:      withoutManager(p.Labels),
		Manager:     p.Labels[ManagerLabel],
		Conditions:  conditionsOf(p),
		Deleting:    !p.DeletionTimestamp.IsZero(),
		Selector:    selectorTo(p.Spec.Selector),
		Priority:    p.Spec.Priority,
		Ingress:     rulesTo(p.Spec.Ingress, "ingress"),
		Egress:      rulesTo(p.Spec.Egress, "egress"),
		Annotations: freeAnnotations(p),
	}
}

// rulesTo spells rules as SetNetworkPolicy takes them.
func rulesTo(rules []v1alpha1.PolicyRule, direction string) (out []*controlpb.NetworkPolicyRule) {
	for _, rule := range rules {
		r := &controlpb.NetworkPolicyRule{
			Action: strings.ToLower(string(rule.Action)), Protocol: string(rule.Protocol), Direction: direction, Log: rule.Log,
		}
		for _, p := range rule.Ports {
			r.Ports = append(r.Ports, &controlpb.PortRange{Port: uint32(p.Port), PortEnd: uint32(p.EndPort)})
		}
		for _, p := range rule.Peers {
			r.Peers = append(r.Peers, &controlpb.PolicyPeer{
				Network: p.Network, Cidr: p.CIDR, Except: p.Except, Internet: p.Internet, Selector: selectorTo(p.Selector),
			})
		}
		out = append(out, r)
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

func selectorTo(s *metav1.LabelSelector) *controlpb.LabelSelector {
	if s == nil {
		return nil
	}
	out := &controlpb.LabelSelector{MatchLabels: s.MatchLabels}
	for _, e := range s.MatchExpressions {
		out.MatchExpressions = append(out.MatchExpressions, &controlpb.LabelExpression{
			Key: e.Key, Operator: string(e.Operator), Values: e.Values,
		})
	}
	return out
}
