// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"bytes"
	"context"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// Export writes all networks, policies and attachments as YAML that kubectl and
// arcactl take: what was chosen for them is said, so that it is the same elsewhere.
func Export(ctx context.Context, c Control) ([]byte, error) {
	networks, err := Existing(ctx, c)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	write := func(object any) error {
		raw, err := yaml.Marshal(object)
		if err != nil {
			return err
		}
		if out.Len() > 0 {
			out.WriteString("---\n")
		}
		out.Write(raw)
		return nil
	}
	for _, b := range networks {
		if err := write(networkObject(b)); err != nil {
			return nil, err
		}
	}
	rules, err := policies(ctx, c)
	if err != nil {
		return nil, err
	}
	for _, p := range rules {
		if err := write(policyObject(p)); err != nil {
			return nil, err
		}
	}
	for _, b := range networks {
		r, err := c.GetContainerNetworks(ctx, &controlpb.GetContainerNetworksRequest{NetworkId: b.GetNetworkId()})
		if err != nil {
			return nil, err
		}
		for _, n := range r.GetNetworks() {
			if n.GetDeleting() {
				continue
			}
			if err := write(attachmentObject(n)); err != nil {
				return nil, err
			}
		}
	}
	return out.Bytes(), nil
}

// metaOf leaves out what kubectl apply has noted for itself: it would tell
// elsewhere of an apply that there has not been.
func metaOf(name string, labels, annotations map[string]string) metav1.ObjectMeta {
	annotations = maps.Clone(annotations)
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	return metav1.ObjectMeta{Name: name, Labels: labels, Annotations: annotations}
}

func networkObject(b *controlpb.BridgeInfo) *v1alpha1.Network {
	n := &v1alpha1.Network{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Network"},
		ObjectMeta: metaOf(b.GetNetworkId(), b.GetLabels(), b.GetAnnotations()),
		Spec:       v1alpha1.NetworkSpec{DNSName: b.GetName(), Internal: b.GetInternal()},
	}
	for _, s := range b.GetSubnets() {
		n.Spec.Subnets = append(n.Spec.Subnets, v1alpha1.Subnet{
			CIDR: s.GetCidr(), Gateway: s.GetGateway(), AllocationRange: s.GetIpRange(), Reserved: s.GetReserved(),
		})
	}
	for _, f := range b.GetIpFamilies() {
		n.Spec.IPFamilies = append(n.Spec.IPFamilies, v1alpha1.IPFamily(f))
	}
	if !b.GetInterContainer() {
		n.Spec.InterContainer = new(bool)
	}
	if mtu := b.GetMtu(); mtu != 0 {
		n.Spec.MTU = &mtu
	}
	// An internal network has no way out, whatever it says.
	if m := b.GetEgressMode(); m != "" && !b.GetInternal() {
		n.Spec.Egress = &v1alpha1.NetworkEgress{Mode: v1alpha1.EgressMode(m)}
	}
	if d := b.GetDns(); d != nil {
		n.Spec.DNS = &v1alpha1.NetworkDNS{Enabled: d.Enabled, Upstreams: d.GetUpstreams(), Search: d.GetSearch()}
	}
	if d := b.GetDhcp(); d != nil {
		n.Spec.DHCP = &v1alpha1.NetworkDHCP{Enabled: d.GetEnabled()}
	}
	return n
}

func attachmentObject(n *controlpb.ContainerNetwork) *v1alpha1.Attachment {
	i := n.GetInterface()
	a := &v1alpha1.Attachment{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Attachment"},
		ObjectMeta: metaOf(n.GetName(), n.GetLabels(), n.GetAnnotations()),
		Spec: v1alpha1.AttachmentSpec{
			Network:       n.GetNetworkId(),
			Container:     v1alpha1.Container{ID: n.GetContainerId(), Name: n.GetHostname(), Aliases: n.GetAliases()},
			Node:          n.GetNode(),
			Addresses:     withoutLength(n.GetAddresses()),
			MAC:           n.GetMacAddress(),
			Interface:     v1alpha1.Interface{Type: v1alpha1.InterfaceType(i.GetType()), Netns: i.GetNetns(), Name: i.GetName()},
			RoutePriority: n.RoutePriority,

			LinkLocalAddresses: n.GetLinkLocalAddresses(),
		},
	}
	for _, p := range n.GetPorts() {
		a.Spec.Ports = append(a.Spec.Ports, v1alpha1.PublishedPort{
			HostIP: p.GetHostIp(), HostPort: p.GetHostPort(), HostPortEnd: p.GetHostPortEnd(),
			ContainerPort: p.GetContainerPort(), Protocol: v1alpha1.Protocol(p.GetProtocol()),
		})
	}
	if b := n.GetBandwidth(); b != nil {
		a.Spec.Bandwidth = &v1alpha1.Bandwidth{Ingress: limitOf(b.GetIngress()), Egress: limitOf(b.GetEgress())}
	}
	return a
}

func limitOf(l *controlpb.BandwidthLimit) *v1alpha1.BandwidthLimit {
	if l == nil {
		return nil
	}
	return &v1alpha1.BandwidthLimit{Rate: l.GetRate(), Burst: l.GetBurst()}
}

func withoutLength(prefixes []string) (out []string) {
	for _, p := range prefixes {
		address, _, _ := strings.Cut(p, "/")
		out = append(out, address)
	}
	return out
}
