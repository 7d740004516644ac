// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/apimachinery/pkg/apis/meta/v1"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// networkOf is the Network that a request asks for, with what is wrong that the
// object's own schema cannot tell.
func networkOf(r *controlpb.CreateBridgeRequest) (*v1alpha1.Network, fieldMap, []violation) {
	wrong := checkID("network_id", r.GetNetworkId())
	wrong = append(wrong, checkManager("manager", r.GetManager())...)
	wrong = append(wrong, checkLabels("labels", r.GetLabels())...)
	wrong = append(wrong, checkAnnotations("annotations", r.GetAnnotations())...)
	n := &v1alpha1.Network{
		Spec: v1alpha1.NetworkSpec{
			DNSName:        r.GetName(),
			Internal:       r.GetInternal(),
			InterContainer: r.InterContainer,
			MTU:            r.Mtu,
		},
	}
	n.Name = r.GetNetworkId()
	n.Labels = withManager(r.GetLabels(), r.GetManager())
	n.Annotations = r.GetAnnotations()
	for _, f := range r.GetIpFamilies() {
		n.Spec.IPFamilies = append(n.Spec.IPFamilies, v1alpha1.IPFamily(f))
	}
	var fields fieldMap
	first := 0
	if r.GetSubnet() != "" {
		first = 1
		n.Spec.Subnets = append(n.Spec.Subnets, v1alpha1.Subnet{
			CIDR: r.GetSubnet(), Gateway: r.GetGateway(), AllocationRange: r.GetIpRange(), Reserved: r.GetReserved(),
		})
		for _, f := range [][2]string{{"cidr", "subnet"}, {"gateway", "gateway"}, {"allocationRange", "ip_range"}, {"reserved", "reserved"}, {"", "subnet"}} {
			fields.add("spec.subnets[0]"+dot(f[0]), f[1])
		}
	} else {
		for field, given := range map[string]bool{"gateway": r.GetGateway() != "", "ip_range": r.GetIpRange() != "", "reserved": len(r.GetReserved()) > 0} {
			if given {
				wrong = append(wrong, violation{field, "needs subnet, which it is a part of"})
			}
		}
	}
	for i, s := range r.GetSubnets() {
		n.Spec.Subnets = append(n.Spec.Subnets, v1alpha1.Subnet{
			CIDR: s.GetCidr(), Gateway: s.GetGateway(), AllocationRange: s.GetIpRange(), Reserved: s.GetReserved(),
		})
		fields.add("spec.subnets["+strconv.Itoa(i+first)+"]", "subnets["+strconv.Itoa(i)+"]")
	}
	if d := r.GetDns(); d != nil {
		n.Spec.DNS = &v1alpha1.NetworkDNS{Enabled: d.Enabled, Upstreams: d.GetUpstreams(), Search: d.GetSearch()}
	}
	if d := r.GetDhcp(); d != nil {
		n.Spec.DHCP = &v1alpha1.NetworkDHCP{Enabled: d.GetEnabled()}
	}
	if e := r.GetEgress(); e != nil {
		n.Spec.Egress = &v1alpha1.NetworkEgress{Mode: v1alpha1.EgressMode(e.GetMode())}
	}
	fields.add("spec.dnsName", "name")
	if first == 1 {
		fields.add("spec.subnets", "subnet")
	}
	fields.add("metadata.name", "network_id")
	fields.add("metadata.labels", "labels")
	fields.addWhole("metadata.annotations", "annotations")
	fields.add("spec", "")
	return n, fields, wrong
}

func dot(field string) string {
	if field == "" {
		return ""
	}
	return "." + field
}

func subnetsOf(n *v1alpha1.Network) (out []*controlpb.Subnet) {
	for _, s := range effectiveSubnets(n) {
		out = append(out, &controlpb.Subnet{Cidr: s.CIDR, Gateway: s.Gateway, IpRange: s.AllocationRange, Reserved: s.Reserved})
	}
	return out
}

// effectiveSubnets are the subnets in force, with what the spec says of them.
func effectiveSubnets(n *v1alpha1.Network) []v1alpha1.Subnet {
	if len(n.Status.Subnets) == 0 {
		return n.Spec.Subnets
	}
	var out []v1alpha1.Subnet
	for _, s := range n.Status.Subnets {
		e := v1alpha1.Subnet{CIDR: s.CIDR}
		for _, spec := range n.Spec.Subnets {
			if spec.CIDR == s.CIDR {
				e = spec
			}
		}
		e.Gateway = cmp.Or(e.Gateway, s.Gateway)
		out = append(out, e)
	}
	return out
}

func createBridgeResponse(n *v1alpha1.Network) *controlpb.CreateBridgeResponse {
	r := &controlpb.CreateBridgeResponse{
		BridgeName: topology.SwitchName(n.Name),
		Subnets:    subnetsOf(n),
		Name:       n.EffectiveDNSName(),
		Mtu:        int32(n.EffectiveMTU()),
	}
	if len(r.Subnets) > 0 {
		r.Subnet, r.Gateway = r.Subnets[0].Cidr, r.Subnets[0].Gateway
	}
	return r
}

// bridgeInfo is a network as it is, without its containers.
func bridgeInfo(n *v1alpha1.Network) *controlpb.BridgeInfo {
	c := createBridgeResponse(n)
	b := &controlpb.BridgeInfo{
		NetworkId:  n.Name,
		BridgeName: c.BridgeName,
		Subnet:     c.Subnet,
		Gateway:    c.Gateway,
		Name:       c.Name,
		Subnets:    c.Subnets,
		Internal:   n.Spec.Internal,
		Mtu:        c.Mtu,
		Labels:     withoutManager(n.Labels),
		Manager:    n.Labels[ManagerLabel],
		Conditions: conditionsOf(n),
		Deleting:   !n.DeletionTimestamp.IsZero(),

		Annotations:    freeAnnotations(n),
		Created:        timestamppb.New(n.CreationTimestamp.Time),
		Uid:            string(n.UID),
		InterContainer: n.Spec.InterContainer == nil || *n.Spec.InterContainer,
		EgressMode:     string(n.EffectiveEgressMode()),
		IpFamilies:     familiesOf(n),
	}
	if d := n.Spec.DNS; d != nil {
		b.Dns = &controlpb.NetworkDNS{Enabled: d.Enabled, Upstreams: d.Upstreams, Search: d.Search}
	}
	if d := n.Spec.DHCP; d != nil {
		b.Dhcp = &controlpb.NetworkDHCP{Enabled: d.Enabled}
	}
	return b
}

// familiesOf are the families asked for, or else those of the subnets.
func familiesOf(n *v1alpha1.Network) (out []string) {
	for _, f := range n.Spec.IPFamilies {
		out = append(out, string(f))
	}
	if len(out) > 0 {
		slices.Sort(out)
		return out
	}
	for _, s := range effectiveSubnets(n) {
		out = append(out, string(familyOf(s.CIDR)))
	}
	slices.Sort(out)
	return out
}

func familyOf(cidr string) v1alpha1.IPFamily {
	if p, err := netip.ParsePrefix(cidr); err == nil && p.Addr().Is6() {
		return v1alpha1.IPv6
	}
	return v1alpha1.IPv4
}

func conditionsOf(o object) (out []*controlpb.Condition) {
	for _, c := range *o.GetConditions() {
		out = append(out, &controlpb.Condition{
			Type: c.Type, Status: c.Status == v1.ConditionTrue, Reason: c.Reason, Message: c.Message,
			Since: timestamppb.New(c.LastTransitionTime.Time),
		})
	}
	return out
}
