// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// policyOf is the Policy that stands for the rules of a network.
func policyOf(r *controlpb.SetNetworkPolicyRequest) (*v1alpha1.Policy, fieldMap, []violation) {
	wrong := checkID("network_id", r.GetNetworkId())
	wrong = append(wrong, checkManager("manager", r.GetManager())...)
	wrong = append(wrong, checkLabels("labels", r.GetLabels())...)
	p := &v1alpha1.Policy{Spec: v1alpha1.PolicySpec{Network: r.GetNetworkId()}}
	p.Name = r.GetNetworkId()
	p.Labels = withManager(r.GetLabels(), r.GetManager())
	p.Annotations = map[string]string{madeByAnnotation: madeByControl}

	order := make([]int, len(r.GetRules()))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(r.GetRules()[b].GetPriority(), r.GetRules()[a].GetPriority())
	})
	var fields fieldMap
	for _, i := range order {
		prefix := "rules[" + strconv.Itoa(i) + "]"
		out, egress, found := ruleOf(r.GetRules()[i], r.GetNetworkId())
		wrong = append(wrong, under(prefix, found)...)
		list, name := &p.Spec.Ingress, "ingress"
		if egress {
			list, name = &p.Spec.Egress, "egress"
		}
		path := fmt.Sprintf("spec.%s[%d]", name, len(*list))
		if own := ownPeers(r.GetRules()[i], egress); own > 0 {
			source := "source_network"
			if egress {
				source = "destination_network"
			}
			fields.addWhole(path+".peers[0]", prefix+"."+source)
		}
		if r.GetRules()[i].GetPort() != 0 {
			fields.addWhole(path+".ports[0].endPort", prefix+".port_end")
			fields.addWhole(path+".ports[0]", prefix+".port")
		}
		fields.add(path, prefix)
		*list = append(*list, out)
	}
	fields.add("spec.network", "network_id")
	fields.add("metadata.name", "network_id")
	fields.add("metadata.labels", "labels")
	fields.addWhole("spec", "rules")
	return p, fields, wrong
}

func ownPeers(r *controlpb.NetworkPolicyRule, egress bool) int {
	end := r.GetSourceNetwork()
	if egress {
		end = r.GetDestinationNetwork()
	}
	return len(peersOf(end))
}

// ruleOf turns one rule, and tells whether it is about traffic from the network.
func ruleOf(r *controlpb.NetworkPolicyRule, network string) (out v1alpha1.PolicyRule, egress bool, wrong []violation) {
	out.Log = r.GetLog()
	switch strings.ToLower(r.GetAction()) {
	case "allow":
		out.Action = v1alpha1.PolicyAllow
	case "deny":
		out.Action = v1alpha1.PolicyDeny
	case "reject":
		out.Action = v1alpha1.PolicyReject
	default:
		wrong = append(wrong, violation{"action", quote(r.GetAction()) + ": must be allow, deny or reject"})
		out.Action = v1alpha1.PolicyDeny // its schema has nothing to say on top
	}
	if p := strings.ToLower(r.GetProtocol()); p != "" {
		out.Protocol = v1alpha1.PolicyProtocol(p)
	}
	egress, wrong = direction(r, network, wrong)
	end := r.GetSourceNetwork()
	if egress {
		end = r.GetDestinationNetwork()
	}
	out.Peers = peersOf(end)
	for i, p := range r.GetPeers() {
		peer := v1alpha1.PolicyPeer{
			Network: p.GetNetwork(), CIDR: p.GetCidr(), Except: p.GetExcept(), Internet: p.GetInternet(), Selector: selectorOf(p.GetSelector()),
		}
		switch {
		case len(p.GetLabels()) > 0 && peer.Selector != nil:
			wrong = append(wrong, violation{fmt.Sprintf("peers[%d].labels", i), "cannot be given with selector"})
		case len(p.GetLabels()) > 0:
			peer.Selector = &metav1.LabelSelector{MatchLabels: p.GetLabels()}
		}
		out.Peers = append(out.Peers, peer)
	}
	if r.GetPort() != 0 {
		out.Ports = append(out.Ports, portRange(r.GetPort(), r.GetPortEnd()))
	} else if r.GetPortEnd() != 0 {
		wrong = append(wrong, violation{"port_end", "needs port, where the range begins"})
	}
	for _, p := range r.GetPorts() {
		out.Ports = append(out.Ports, portRange(p.GetPort(), p.GetPortEnd()))
	}
	return out, egress, wrong
}

func portRange(first, last uint32) v1alpha1.PortRange {
	bound := func(p uint32) int32 { return int32(min(p, 1<<20)) } // the schema refuses what is too large
	return v1alpha1.PortRange{Port: bound(first), EndPort: bound(last)}
}

func isAny(end string) bool { return end == "" || strings.EqualFold(end, "any") }

// direction tells whether a rule is about traffic from the network.
func direction(r *controlpb.NetworkPolicyRule, network string, wrong []violation) (egress bool, _ []violation) {
	source, destination := r.GetSourceNetwork(), r.GetDestinationNetwork()
	natural := source == network && destination != network
	switch strings.ToLower(r.GetDirection()) {
	case "":
		egress = natural
	case "ingress":
	case "egress":
		egress = true
	default:
		wrong = append(wrong, violation{"direction", quote(r.GetDirection()) + ": must be ingress or egress"})
		egress = natural
	}
	near, field := destination, "destination_network"
	if egress {
		near, field = source, "source_network"
	}
	if near != network && !isAny(near) {
		wrong = append(wrong, violation{field, quote(near) + ": must be " + quote(network) + " or unset: the rules are of that network"})
	}
	return egress, wrong
}

// peersOf reads the far end of a rule. Anybody is no peer.
func peersOf(end string) []v1alpha1.PolicyPeer {
	switch {
	case isAny(end):
		return nil
	case strings.EqualFold(end, "internet"):
		return []v1alpha1.PolicyPeer{{Internet: true}}
	}
	if _, err := netip.ParsePrefix(end); err == nil || strings.Contains(end, "/") {
		return []v1alpha1.PolicyPeer{{CIDR: end}}
	}
	return []v1alpha1.PolicyPeer{{Network: end}}
}
