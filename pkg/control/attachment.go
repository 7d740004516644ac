// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// attachmentOf is the Attachment that a request asks for, with what is wrong
// that the object's own schema cannot tell.
func attachmentOf(r *controlpb.AttachContainerRequest) (*v1alpha1.Attachment, fieldMap, []violation) {
	wrong := checkID("container_id", r.GetContainerId())
	wrong = append(wrong, checkID("network_id", r.GetNetworkId())...)
	a := &v1alpha1.Attachment{
		Spec: v1alpha1.AttachmentSpec{
			Network:       r.GetNetworkId(),
			Container:     v1alpha1.Container{ID: r.GetContainerId(), Name: r.GetHostname(), Aliases: r.GetAliases()},
			Node:          r.GetNode(),
			MAC:           r.GetMac(),
			RoutePriority: r.RoutePriority,

			LinkLocalAddresses: r.GetLinkLocalAddresses(),
		},
	}
	a.Name = attachmentName(r.GetContainerId(), r.GetNetworkId())
	if len(wrong) == 0 && len(a.Name) > 253 {
		wrong = append(wrong, violation{"container_id", fmt.Sprintf("container_id and network_id have %d characters together; at most 252 are allowed", len(a.Name)-1)})
	}
	wrong = append(wrong, checkManager("manager", r.GetManager())...)
	wrong = append(wrong, checkLabels("labels", r.GetLabels())...)
	wrong = append(wrong, checkAnnotations("annotations", r.GetAnnotations())...)
	a.Labels = withManager(r.GetLabels(), r.GetManager())
	a.Annotations = r.GetAnnotations()

	var fields fieldMap
	first := 0
	if r.GetIp() != "" {
		first = 1
		a.Spec.Addresses = append(a.Spec.Addresses, r.GetIp())
		fields.add("spec.addresses[0]", "ip")
	}
	a.Spec.Addresses = append(a.Spec.Addresses, r.GetAddresses()...)
	fields.addAddresses(len(r.GetAddresses()), first)
	if len(r.GetAddresses()) == 0 {
		fields.add("spec.addresses", "ip")
	}
	fields.add("spec.network", "network_id")
	fields.add("spec.container.id", "container_id")
	fields.addNames()
	fields.add("metadata.name", "container_id")
	fields.add("metadata.labels", "labels")

	i := r.GetInterface()
	switch {
	case r.GetVsockPort() != 0 && i != nil:
		wrong = append(wrong, violation{"vsock_port", "cannot be given with interface"})
	case r.GetVsockPort() != 0:
		a.Spec.Interface = v1alpha1.Interface{
			Type:  v1alpha1.InterfaceRelay,
			Relay: &v1alpha1.Relay{Endpoint: fmt.Sprintf("vsock://:%d", r.GetVsockPort())},
		}
		fields.addWhole("spec.interface", "vsock_port")
	case i == nil:
		wrong = append(wrong, violation{"interface", "must be given: how do frames reach the container? " +
			"For example type Veth with netns /run/netns/NAME, or type Tap"})
	default:
		a.Spec.Interface = v1alpha1.Interface{Type: v1alpha1.InterfaceType(i.GetType()), Netns: i.GetNetns(), Name: i.GetName()}
		if i.GetRelayEndpoint() != "" {
			a.Spec.Interface.Relay = &v1alpha1.Relay{Endpoint: i.GetRelayEndpoint()}
		}
	}
	a.Spec.Ports = portsOf(r.GetPorts())
	if b := r.GetBandwidth(); b != nil {
		a.Spec.Bandwidth = &v1alpha1.Bandwidth{Ingress: limitOf(b.GetIngress()), Egress: limitOf(b.GetEgress())}
	}
	fields.add("spec", "")
	return a, fields, wrong
}

// addAddresses adds those of a list in a request, which begin at an index of the object's.
func (m *fieldMap) addAddresses(n, first int) {
	for i := range n {
		m.add("spec.addresses["+strconv.Itoa(i+first)+"]", "addresses["+strconv.Itoa(i)+"]")
	}
}

// addNames adds what a request says of how a container is called, and its annotations.
func (m *fieldMap) addNames() {
	m.add("spec.container.name", "hostname")
	m.add("spec.container.aliases", "aliases")
	m.add("spec.container", "hostname")
	m.addWhole("metadata.annotations", "annotations")
}

func portsOf(ports []*controlpb.PublishedPort) (out []v1alpha1.PublishedPort) {
	for _, p := range ports {
		out = append(out, v1alpha1.PublishedPort{
			HostIP: p.GetHostIp(), HostPort: p.GetHostPort(), HostPortEnd: p.GetHostPortEnd(),
			ContainerPort: p.GetContainerPort(), Protocol: v1alpha1.Protocol(p.GetProtocol()),
		})
	}
	return out
}

func limitOf(l *controlpb.BandwidthLimit) *v1alpha1.BandwidthLimit {
	if l == nil {
		return nil
	}
	return &v1alpha1.BandwidthLimit{Rate: l.GetRate(), Burst: l.GetBurst()}
}

func attachContainerResponse(a *v1alpha1.Attachment) *controlpb.AttachContainerResponse {
	r := &controlpb.AttachContainerResponse{
		PortName:   a.Status.PortName,
		SocketFd:   -1,
		MacAddress: a.Status.MAC,
		Addresses:  a.Status.Addresses,
		Gateways:   a.Status.Gateways,
		Mtu:        a.Status.MTU,
	}
	if len(r.Addresses) > 0 {
		r.IpAddress, _, _ = strings.Cut(r.Addresses[0], "/")
	}
	return r
}

func containerNetwork(a *v1alpha1.Attachment) *controlpb.ContainerNetwork {
	r := attachContainerResponse(a)
	i := &controlpb.Interface{Type: string(a.Spec.Interface.Type), Netns: a.Spec.Interface.Netns, Name: a.Spec.Interface.Name}
	if a.Spec.Interface.Relay != nil {
		i.RelayEndpoint = a.Spec.Interface.Relay.Endpoint
	}
	c := &controlpb.ContainerNetwork{
		NetworkId:   a.Spec.Network,
		IpAddress:   r.IpAddress,
		MacAddress:  r.MacAddress,
		PortName:    r.PortName,
		Hostname:    a.Spec.Container.Name,
		Aliases:     a.Spec.Container.Aliases,
		ContainerId: a.Spec.Container.ID,
		Addresses:   r.Addresses,
		Gateways:    r.Gateways,
		Mtu:         r.Mtu,
		Interface:   i,
		Labels:      withoutManager(a.Labels),
		Manager:     a.Labels[ManagerLabel],
		Conditions:  conditionsOf(a),
		Deleting:    !a.DeletionTimestamp.IsZero(),

		Annotations:     freeAnnotations(a),
		Created:         timestamppb.New(a.CreationTimestamp.Time),
		Uid:             string(a.UID),
		Name:            a.Name,
		RoutePriority:   a.Spec.RoutePriority,
		Node:            a.Spec.Node,
		StaticAddresses: a.Spec.Addresses,
		StaticMac:       a.Spec.MAC,

		LinkLocalAddresses: a.Spec.LinkLocalAddresses,
	}
	for _, p := range a.Spec.Ports {
		c.Ports = append(c.Ports, &controlpb.PublishedPort{
			HostIp: p.HostIP, HostPort: p.HostPort, HostPortEnd: p.HostPortEnd,
			ContainerPort: p.ContainerPort, Protocol: string(p.Protocol),
		})
	}
	if b := a.Spec.Bandwidth; b != nil {
		c.Bandwidth = &controlpb.Bandwidth{Ingress: limitTo(b.Ingress), Egress: limitTo(b.Egress)}
	}
	return c
}

func limitTo(l *v1alpha1.BandwidthLimit) *controlpb.BandwidthLimit {
	if l == nil {
		return nil
	}
	return &controlpb.BandwidthLimit{Rate: l.Rate, Burst: l.Burst}
}

// effectiveAttachment is an attachment's spec with what was chosen for it.
func effectiveAttachment(a *v1alpha1.Attachment) *v1alpha1.AttachmentSpec {
	e := a.Spec.DeepCopy()
	if len(e.Addresses) < len(a.Status.Addresses) {
		e.Addresses = nil
		for _, s := range a.Status.Addresses {
			address, _, _ := strings.Cut(s, "/")
			e.Addresses = append(e.Addresses, address)
		}
	}
	for i := range e.Addresses {
		e.Addresses[i] = canonicalAddress(e.Addresses[i])
	}
	canonicalLinkLocals(e)
	e.MAC = canonicalMAC(cmp.Or(e.MAC, a.Status.MAC))
	completePorts(e.Ports)
	if e.Interface.Type == v1alpha1.InterfaceVeth {
		e.Interface.Name = cmp.Or(e.Interface.Name, v1alpha1.DefaultInterfaceName)
	} else {
		e.Interface.Name = cmp.Or(e.Interface.Name, a.Status.PortName)
	}
	return e
}

func canonicalAddress(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String()
	}
	return s
}

// canonicalLinkLocals spells link-local addresses, whose order means nothing, in one way.
func canonicalLinkLocals(s *v1alpha1.AttachmentSpec) {
	for i := range s.LinkLocalAddresses {
		s.LinkLocalAddresses[i] = canonicalAddress(s.LinkLocalAddresses[i])
	}
	slices.Sort(s.LinkLocalAddresses)
}

func canonicalMAC(s string) string {
	if m, err := net.ParseMAC(s); err == nil {
		return m.String()
	}
	return s
}
