// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AttachmentSpec is what an attachment should be.
//
// +kubebuilder:validation:XValidation:rule="self.network == oldSelf.network",fieldPath=".network",message="is immutable: delete the attachment and make another"
// +kubebuilder:validation:XValidation:rule=`(has(self.node) ? self.node : "") == (has(oldSelf.node) ? oldSelf.node : "")`,fieldPath=".node",message="is immutable: delete the attachment and make another"
// +kubebuilder:validation:XValidation:rule="self.interface.type == oldSelf.interface.type",fieldPath=".interface.type",message="is immutable: delete the attachment and make another"
// +kubebuilder:validation:XValidation:rule="!has(self.addresses) || self.addresses.size() < 2 || !isIP(self.addresses[0]) || !isIP(self.addresses[1]) || ip(self.addresses[0]).family() != ip(self.addresses[1]).family()",fieldPath=".addresses",message="at most one IPv4 and one IPv6 address are allowed"
// +kubebuilder:validation:XValidation:rule="!has(self.ports) || self.ports.all(p, (has(p.hostPortEnd) && p.hostPortEnd < p.hostPort) || self.ports.exists_one(q, ((!has(p.protocol) ? 'tcp' : p.protocol) == (!has(q.protocol) ? 'tcp' : q.protocol)) && p.hostPort <= (has(q.hostPortEnd) ? q.hostPortEnd : q.hostPort) && q.hostPort <= (has(p.hostPortEnd) ? p.hostPortEnd : p.hostPort) && (!has(p.hostIP) || !has(q.hostIP) || p.hostIP == q.hostIP)))",fieldPath=".ports",message="no host port may be named twice for one protocol and hostIP"
// +kubebuilder:validation:XValidation:rule="!has(self.routePriority) || self.interface.type == 'Veth'",fieldPath=".routePriority",message="is only for type Veth: no default route is set on interfaces of other types"
type AttachmentSpec struct {
	// network is the name of the Network object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Network string `json:"network"`

	// container is who uses the attachment.
	// +optional
	Container Container `json:"container,omitzero"`

	// node is the name of the host whose interface this is. Default: the only one.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node,omitempty"`

	// addresses are static addresses, at most one of each family. Default: an
	// address is chosen for each subnet of the network, written to
	// status.addresses and kept.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:MaxLength=39
	// +kubebuilder:validation:XValidation:rule="self.all(a, isIP(a))",message="must hold IP addresses without a prefix length, for example 10.88.0.10"
	Addresses []string `json:"addresses,omitempty"`

	// linkLocalAddresses are further addresses of the container's interface, by
	// which it is reached from its own network alone: IPv4 of 169.254.0.0/16, which
	// it gets with that range, and IPv6 of fe80::/10, with a range of 64 bits. They
	// are what Docker has as LinkLocalIPs in EndpointIPAMConfig (--link-local-ip).
	// Each belongs to one attachment of a network. Type Veth and Internal get them
	// on their interface; on others whoever made it puts them there.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=39
	// +kubebuilder:validation:XValidation:rule="self.all(a, isIP(a))",message="must hold IP addresses without a prefix length, for example 169.254.8.8 or fe80::8"
	// +kubebuilder:validation:XValidation:rule="self.all(a, !isIP(a) || ip(a).isLinkLocalUnicast())",message="must hold link-local addresses alone: of 169.254.0.0/16 or fe80::/10"
	// +kubebuilder:validation:XValidation:rule="self.all(a, a != '169.254.0.0' && a != '169.254.255.255')",message="must not hold 169.254.0.0 or 169.254.255.255, the network and broadcast address of their range"
	// +kubebuilder:validation:XValidation:rule="!self.all(a, isIP(a)) || self.all(a, self.exists_one(b, ip(a) == ip(b)))",message="must not hold an address twice"
	LinkLocalAddresses []string `json:"linkLocalAddresses,omitempty"`

	// mac is a static MAC address. Default: one derived from the object's UID.
	// +optional
	// +kubebuilder:validation:MaxLength=17
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$')",message="must be six hexadecimal bytes with colons, for example 02:42:ac:11:00:02"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9A-Fa-f][13579BDFbdf]:')",message="must not be a multicast address: the first byte must be even"
	// +kubebuilder:validation:XValidation:rule="self != '00:00:00:00:00:00'",message="must not be all zeros"
	MAC string `json:"mac,omitempty"`

	// interface is how frames reach the container.
	// +required
	Interface Interface `json:"interface"`

	// ports are published on the host: what arrives there is sent to the
	// container. No process of the host may listen on them; one that begins to
	// afterwards receives nothing.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Ports []PublishedPort `json:"ports,omitempty"`

	// routePriority: where a container has several attachments, that with the
	// highest has the default route; when it goes, the next has it. Of equal ones
	// eth0 is before eth1, and both before interfaces of other names. A network
	// without a way out (internal, or egress.mode None) comes after all others.
	// What is sent from an address leaves through its own network in any case.
	// Default: 0.
	// +optional
	// +kubebuilder:validation:Minimum=-1000
	// +kubebuilder:validation:Maximum=1000
	RoutePriority *int32 `json:"routePriority,omitempty"`

	// bandwidth limits what the container may receive and send. What is beyond a
	// limit is dropped. Default: no limit.
	// +optional
	Bandwidth *Bandwidth `json:"bandwidth,omitempty"`
}

// AnnotationContainer has an engine's id of the container where that was not known
// when the attachment was made, and spec.container.id is therefore another one.
const AnnotationContainer = "docker.network.arca.dev/container-id"

// AnnotationMadeBy marks what an engine's driver has made. The id of a container in
// spec.container.id is its own then, made of the MAC address.
const AnnotationMadeBy = "docker.network.arca.dev/made-by"

// Container is who uses an attachment.
type Container struct {
	// id is the engine's id of the container. A container is attached to a
	// network at most once.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ID string `json:"id,omitempty"`
	// name of the container, unique within a network.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9][a-zA-Z0-9_.-]*$')",message="must consist of letters, digits, '_', '.' and '-', and start with a letter or digit"
	Name string `json:"name,omitempty"`
	// aliases are further names in DNS, such as the container's host name. Any
	// number of containers can have one alias: it stands for all of them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.all(a, a.matches('^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$') && !a.contains('..'))",message="must hold names of letters, digits, '_', '-' and '.', that start and end with a letter, a digit or '_'"
	Aliases []string `json:"aliases,omitempty"`
}

// InterfaceType is the kind of an attachment's interface.
// +kubebuilder:validation:Enum=Veth;Tap;Relay;Internal;External
type InterfaceType string

// The types of interfaces.
const (
	// InterfaceVeth is a veth pair whose inner end is put into a network namespace.
	InterfaceVeth InterfaceType = "Veth"
	// InterfaceTap is a tap device on the host, for a VMM.
	InterfaceTap InterfaceType = "Tap"
	// InterfaceRelay is a stream or datagram socket that carries frames. Not supported yet.
	InterfaceRelay InterfaceType = "Relay"
	// InterfaceInternal is a device of the host's own network namespace.
	InterfaceInternal InterfaceType = "Internal"
	// InterfaceExternal is an interface of the host that somebody else made.
	InterfaceExternal InterfaceType = "External"
)

// Interface is how frames reach a container.
//
// +kubebuilder:validation:XValidation:rule="self.type != 'Relay'",fieldPath=".type",message="Relay is not supported yet; use Veth, Tap, Internal or External"
// +kubebuilder:validation:XValidation:rule="self.type == 'Veth' ? has(self.netns) : !has(self.netns)",fieldPath=".netns",message="is required for type Veth and not allowed for others"
// +kubebuilder:validation:XValidation:rule="self.type != 'External' || has(self.name)",fieldPath=".name",message="is required for type External: the name of the interface to plug in"
// +kubebuilder:validation:XValidation:rule="self.type == 'Relay' || !has(self.relay)",fieldPath=".relay",message="is only for type Relay, which is not supported yet"
type Interface struct {
	// type: Veth, Tap, Internal or External. Relay is not supported yet.
	// +required
	Type InterfaceType `json:"type"`

	// netns is the path of the network namespace of a Veth, for example
	// /run/netns/web or /proc/4711/ns/net.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/') && !self.contains('/../')",message="must be an absolute path, for example /run/netns/web"
	Netns string `json:"netns,omitempty"`

	// name of the interface, at most 15 bytes. Veth: within the namespace,
	// default eth0. Tap and Internal: on the host, default one derived from
	// the object's UID. External: the interface to plug in.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_.-]+$') && self != '.' && self != '..' && self != 'lo'",message="must be an interface name: letters, digits, '.', '_' and '-', not '.', '..' or 'lo'"
	Name string `json:"name,omitempty"`

	// relay endpoint. Not supported yet.
	// +optional
	Relay *Relay `json:"relay,omitempty"`
}

// Relay is a socket that carries frames.
type Relay struct {
	// endpoint is the socket's address, for example unix:///run/vm.sock.
	// +required
	// +kubebuilder:validation:MaxLength=256
	Endpoint string `json:"endpoint"`
}

// Protocol is a transport protocol of a published port.
// +kubebuilder:validation:Enum=tcp;udp;sctp
type Protocol string

// PublishedPort makes a container's port reachable through the host.
//
// +kubebuilder:validation:XValidation:rule="!has(self.hostPortEnd) || self.hostPortEnd >= self.hostPort",fieldPath=".hostPortEnd",message="must not be less than hostPort"
// +kubebuilder:validation:XValidation:rule="!has(self.hostPortEnd) || self.hostPortEnd < self.hostPort || self.containerPort + (self.hostPortEnd - self.hostPort) <= 65535",fieldPath=".containerPort",message="the range would end beyond port 65535: containerPort + hostPortEnd - hostPort must be at most 65535"
type PublishedPort struct {
	// hostIP is the host's address to be reached at. 0.0.0.0 and :: are all of
	// one family, and none is all. At 127.0.0.1 only the host itself reaches it.
	// ::1 is never one of them: what is sent to it stays on the interface lo,
	// and to bring it to a container takes a process that relays. A client on
	// the host that tries ::1 first, as for the name localhost, is refused at
	// once and goes on to 127.0.0.1.
	// +optional
	// +kubebuilder:validation:MaxLength=39
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="must be an IP address of the host, for example 192.0.2.1, 0.0.0.0, 127.0.0.1 or ::"
	// +kubebuilder:validation:XValidation:rule="!isIP(self) || ip(self).isUnspecified() || ip(self).isGlobalUnicast() || (ip(self).isLoopback() && ip(self).family() == 4)",message="must not be a multicast or link-local address, nor ::1, from which Linux lets nothing leave the host's own interface lo"
	HostIP string `json:"hostIP,omitempty"`
	// hostPort is the first port of the host.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	HostPort int32 `json:"hostPort"`
	// hostPortEnd is the last port of a range, which leads to as many ports of
	// the container from containerPort on. Default: hostPort.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	HostPortEnd int32 `json:"hostPortEnd,omitempty"`
	// containerPort is the first port of the container.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	ContainerPort int32 `json:"containerPort"`
	// protocol: tcp, udp or sctp. Default: tcp.
	// +optional
	Protocol Protocol `json:"protocol,omitempty"`
}

// Bandwidth limits what an attachment may receive and send.
type Bandwidth struct {
	// ingress towards the container.
	// +optional
	Ingress *BandwidthLimit `json:"ingress,omitempty"`
	// egress from the container.
	// +optional
	Egress *BandwidthLimit `json:"egress,omitempty"`
}

// BandwidthLimit is a rate and a burst, of whole frames with their headers.
//
// +kubebuilder:validation:XValidation:rule="!has(self.burst) || self.burst == 0 || self.burst >= 1000000",fieldPath=".burst",message="must be at least 1000000 bits, or 0 for the default: an interface hands over up to 64 KiB in one piece, which a smaller burst never lets pass"
type BandwidthLimit struct {
	// rate in bits per second, rounded up to a multiple of 1000.
	// +required
	// +kubebuilder:validation:Minimum=1000
	// +kubebuilder:validation:Maximum=4294967295000
	Rate int64 `json:"rate"`
	// burst in bits: what passes at once after a pause. Default: what the rate
	// carries in 250 ms, and at least 1000000. With less, TCP falls far below the
	// rate: it pauses for 200 ms where everything in flight was dropped.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4294967295000
	Burst int64 `json:"burst,omitempty"`
}

// EffectiveBurst is the burst in force.
func (l BandwidthLimit) EffectiveBurst() int64 {
	if l.Burst != 0 {
		return l.Burst
	}
	return max(l.Rate/4, MinBurst)
}

// MinBurst is the smallest burst, in bits.
const MinBurst = 1_000_000

// AttachmentStatus is what was observed.
type AttachmentStatus struct {
	// observedGeneration is the generation that the status was computed for.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Accepted, Programmed, Ready; Deleting while it goes.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// addresses with the subnet's prefix length, for example 10.88.0.2/24.
	// They stay for the attachment's life.
	// +optional
	// +listType=atomic
	Addresses []string `json:"addresses,omitempty"`
	// linkLocalAddresses in force, with their prefix length, for example
	// 169.254.8.8/16.
	// +optional
	// +listType=atomic
	LinkLocalAddresses []string `json:"linkLocalAddresses,omitempty"`
	// gateways of the network, one for each address.
	// +optional
	// +listType=atomic
	Gateways []string `json:"gateways,omitempty"`
	// mac address of the container's interface.
	// +optional
	MAC string `json:"mac,omitempty"`
	// mtu of the container's interface, in bytes.
	// +optional
	MTU int32 `json:"mtu,omitempty"`
	// routeMetric of the default routes in the container: the lowest is used.
	// +optional
	RouteMetric int32 `json:"routeMetric,omitempty"`
	// portName is the name of the OVS port on the host.
	// +optional
	PortName string `json:"portName,omitempty"`
	// ports are the published ports in force.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Ports []PublishedPort `json:"ports,omitempty"`
	// inForce is the spec that was accepted last, while a later one is refused:
	// it stays in force. Empty where the spec itself is in force.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	InForce *AttachmentSpec `json:"inForce,omitempty"`
}

// Attachment connects a container to a network.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=att,categories=arca
// +kubebuilder:printcolumn:name="Network",type=string,JSONPath=`.spec.network`
// +kubebuilder:printcolumn:name="Container",type=string,JSONPath=`.spec.container.name`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.status.addresses[*]`
// +kubebuilder:printcolumn:name="MAC",type=string,priority=1,JSONPath=`.status.mac`
// +kubebuilder:printcolumn:name="Port",type=string,priority=1,JSONPath=`.status.portName`
// +kubebuilder:printcolumn:name="Type",type=string,priority=1,JSONPath=`.spec.interface.type`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Attachment struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec AttachmentSpec `json:"spec"`
	// +optional
	Status AttachmentStatus `json:"status,omitzero"`
}

// AttachmentList is a list of attachments.
//
// +kubebuilder:object:root=true
type AttachmentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Attachment `json:"items"`
}

// GetConditions returns the attachment's conditions, to be changed in place.
func (a *Attachment) GetConditions() *[]metav1.Condition { return &a.Status.Conditions }

// AsInForce is the attachment with the spec that is in force: its own or, while that is
// refused, the one that was accepted last, with its generation. Not to be written.
func (a *Attachment) AsInForce() *Attachment {
	if a.Status.InForce == nil {
		return a
	}
	out := *a
	out.Spec = *a.Status.InForce
	if c := meta.FindStatusCondition(out.Status.Conditions, ConditionProgrammed); c != nil {
		out.Generation = c.ObservedGeneration
	}
	out.Status.Conditions = slices.Clone(out.Status.Conditions)
	return &out
}

// DefaultInterfaceName is the name of a Veth's inner end where none is given.
const DefaultInterfaceName = "eth0"
