// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NetworkSpec is what a network should be.
//
// +kubebuilder:validation:XValidation:rule="!has(self.subnets) || self.subnets.size() < 2 || cidr(self.subnets[0].cidr).ip().family() != cidr(self.subnets[1].cidr).ip().family()",fieldPath=".subnets",message="at most one IPv4 and one IPv6 subnet are allowed"
// +kubebuilder:validation:XValidation:rule="!has(self.mtu) || self.mtu >= 1280 || ((!has(self.subnets) || self.subnets.all(s, cidr(s.cidr).ip().family() == 4)) && (!has(self.ipFamilies) || !('IPv6' in self.ipFamilies)))",fieldPath=".mtu",message="a network with an IPv6 subnet needs an mtu of at least 1280"
// +kubebuilder:validation:XValidation:rule="!has(self.subnets) || !has(self.ipFamilies) || self.subnets.all(s, (cidr(s.cidr).ip().family() == 4 ? 'IPv4' : 'IPv6') in self.ipFamilies)",fieldPath=".subnets",message="a subnet is of a family that ipFamilies leaves out; name the family there, or leave ipFamilies out"
// +kubebuilder:validation:XValidation:rule="!has(self.dns) || !has(self.dns.upstreams) || self.dns.upstreams.size() == 0 || !has(self.internal) || !self.internal",fieldPath=".dns.upstreams",message="an internal network asks nobody outside; leave it out"
// +kubebuilder:validation:XValidation:rule="!has(self.internal) || !self.internal || !has(self.egress) || !has(self.egress.mode) || self.egress.mode == 'None'",fieldPath=".egress.mode",message="an internal network has no way out: set None, leave egress out, or set internal to false"
type NetworkSpec struct {
	// dnsName is the network's name for people and in DNS. It is unique among
	// networks. Default: the object's name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$') && !self.contains('..')",message="must consist of letters, digits, '-', '_' and single '.', and start and end with a letter or digit"
	DNSName string `json:"dnsName,omitempty"`

	// ipFamilies are the address families of the network: IPv4, IPv6 or both.
	// For a family without a subnet in subnets one that is free is chosen,
	// written to status.subnets and kept; for IPv6 a /64 of the unique local
	// range (RFC 4193). Default: those of subnets, or else IPv4.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	IPFamilies []IPFamily `json:"ipFamilies,omitempty"`

	// subnets are the network's address ranges: none, one IPv4, one IPv6, or
	// one of each.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=2
	Subnets []Subnet `json:"subnets,omitempty"`

	// internal networks have no way out, and nothing outside reaches them:
	// their attachments cannot publish ports.
	// +optional
	Internal bool `json:"internal,omitempty"`

	// interContainer says whether the network's endpoints may reach each
	// other where no policy says so. Default: true.
	// +optional
	InterContainer *bool `json:"interContainer,omitempty"`

	// mtu of the network's interfaces, in bytes. Default: 1500. Who sends
	// something larger from outside is told; a container of a network with a
	// larger mtu, that a policy lets in, is not: TCP agrees on a size by itself,
	// datagrams larger than the smaller mtu are lost.
	// +optional
	// +kubebuilder:validation:Minimum=576
	// +kubebuilder:validation:Maximum=65521
	MTU *int32 `json:"mtu,omitempty"`

	// dns configures name resolution at the gateway, port 53: the names of the
	// network's containers, bare and below dnsName, and forwarding of all others.
	// +optional
	DNS *NetworkDNS `json:"dns,omitempty"`

	// dhcp configures address assignment by DHCP, IPv4 and IPv6, for endpoints
	// that ask, such as VMs: they are given what their attachment's status says.
	// +optional
	DHCP *NetworkDHCP `json:"dhcp,omitempty"`

	// egress configures the way out.
	// +optional
	Egress *NetworkEgress `json:"egress,omitempty"`
}

// IPFamily is a family of addresses.
//
// +kubebuilder:validation:Enum=IPv4;IPv6
type IPFamily string

// Families of addresses.
const (
	IPv4 IPFamily = "IPv4"
	IPv6 IPFamily = "IPv6"
)

// Subnet is one address range of a network.
//
// +kubebuilder:validation:XValidation:rule="!has(self.gateway) || !isCIDR(self.cidr) || !isIP(self.gateway) || cidr(self.cidr).containsIP(self.gateway)",fieldPath=".gateway",message="must be an address inside cidr"
// +kubebuilder:validation:XValidation:rule="!has(self.gateway) || !isCIDR(self.cidr) || !isIP(self.gateway) || cidr(self.cidr).prefixLength() >= (cidr(self.cidr).ip().family() == 4 ? 31 : 127) || !self.cidr.startsWith(self.gateway + '/')",fieldPath=".gateway",message="must not be the network address of cidr"
// +kubebuilder:validation:XValidation:rule="!has(self.allocationRange) || !isCIDR(self.cidr) || !isCIDR(self.allocationRange) || cidr(self.cidr).containsCIDR(self.allocationRange)",fieldPath=".allocationRange",message="must lie inside cidr"
// +kubebuilder:validation:XValidation:rule="!has(self.reserved) || !isCIDR(self.cidr) || self.reserved.all(r, !isIP(r) || cidr(self.cidr).containsIP(r))",fieldPath=".reserved",message="every reserved address must lie inside cidr"
type Subnet struct {
	// cidr is the range, with no host bits set: 10.88.0.0/24, fd00:88::/64.
	// An IPv4 prefix is 8 to 30 bits long, an IPv6 prefix 16 to 126.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="must be a subnet in CIDR form, for example 10.88.0.0/24 or fd00:88::/64"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self).masked() == cidr(self)",message="must have no host bits set: write the network's own address, for example 10.88.0.0/24 and not 10.88.0.5/24"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || (cidr(self).ip().family() == 4 ? cidr(self).prefixLength() >= 8 && cidr(self).prefixLength() <= 30 : cidr(self).prefixLength() >= 16 && cidr(self).prefixLength() <= 126)",message="prefix length must be 8 to 30 for IPv4 and 16 to 126 for IPv6"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || (cidr(self).ip().isGlobalUnicast() && !cidr(self).containsIP('169.254.0.0') && !cidr('0.0.0.0/8').containsCIDR(self) && !cidr('240.0.0.0/4').containsCIDR(self))",message="must be a unicast range: not loopback, link-local, multicast, 0.0.0.0/8 or 240.0.0.0/4"
	CIDR string `json:"cidr"`

	// gateway is the address of the network's router port. Default: the first
	// address of cidr.
	// +optional
	// +kubebuilder:validation:MaxLength=39
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="must be an IP address, for example 10.88.0.1"
	Gateway string `json:"gateway,omitempty"`

	// allocationRange is the part of cidr from which addresses are given out
	// by themselves. Default: all of cidr.
	// +optional
	// +kubebuilder:validation:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="must be a range in CIDR form, for example 10.88.0.128/25"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self).masked() == cidr(self)",message="must have no host bits set"
	AllocationRange string `json:"allocationRange,omitempty"`

	// reserved addresses are never given out.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=39
	// +kubebuilder:validation:XValidation:rule="self.all(r, isIP(r))",message="must hold IP addresses, for example 10.88.0.2"
	Reserved []string `json:"reserved,omitempty"`
}

// NetworkDNS configures name resolution for a network's endpoints.
type NetworkDNS struct {
	// enabled turns the network's name server on. Default: true.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`
	// upstreams answer what is not a name of ours, the first first. They are
	// asked by the host. Default: the host's own, from its resolv.conf.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=39
	// +kubebuilder:validation:XValidation:rule="self.all(u, isIP(u))",message="must hold IP addresses of name servers, for example 192.0.2.53"
	Upstreams []string `json:"upstreams,omitempty"`
	// search domains of the network's endpoints, after the network's own name,
	// for those who write their resolv.conf, and by DHCP for IPv4.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.all(d, d.matches('^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?([.][A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$'))",message="must hold domain names without a dot at the end, for example corp.example.com"
	Search []string `json:"search,omitempty"`
}

// NetworkDHCP configures DHCP for endpoints that ask for their address.
type NetworkDHCP struct {
	// enabled turns DHCP on. Default: false.
	// +optional
	Enabled bool `json:"enabled,omitempty"`
	// leaseSeconds is how long an endpoint may go without asking again.
	// Default: 3600.
	// +optional
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=604800
	LeaseSeconds int32 `json:"leaseSeconds,omitempty"`
}

// EgressMode is how traffic leaves a network.
// +kubebuilder:validation:Enum=NAT;Routed;None
type EgressMode string

// The ways out of a network.
const (
	EgressNAT    EgressMode = "NAT"
	EgressRouted EgressMode = "Routed"
	EgressNone   EgressMode = "None"
)

// NetworkEgress configures the way out of a network.
type NetworkEgress struct {
	// mode: NAT hides endpoints behind the host's address. Routed keeps their
	// own, and lets in who has a route to them. None lets no connection out;
	// published ports work, and so does the network's name server. Default: NAT.
	// +optional
	Mode EgressMode `json:"mode,omitempty"`
}

// SubnetStatus is a subnet in force.
type SubnetStatus struct {
	// cidr is the range.
	CIDR string `json:"cidr"`
	// gateway is the address of the network's router port.
	Gateway string `json:"gateway"`
}

// NetworkStatus is what was observed.
type NetworkStatus struct {
	// observedGeneration is the generation that the status was computed for.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Accepted, Programmed, Ready; Deleting while it goes.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// subnets in force, chosen or given. They stay for the network's life.
	// +optional
	// +listType=atomic
	Subnets []SubnetStatus `json:"subnets,omitempty"`
	// inForce is the spec that was accepted last, while a later one is refused:
	// it stays in force. Empty where the spec itself is in force.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	InForce *NetworkSpec `json:"inForce,omitempty"`
}

// Network is a layer 2 segment with its own subnets and gateway.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=net,categories=arca
// +kubebuilder:printcolumn:name="Subnet",type=string,JSONPath=`.status.subnets[*].cidr`
// +kubebuilder:printcolumn:name="Gateway",type=string,priority=1,JSONPath=`.status.subnets[*].gateway`
// +kubebuilder:printcolumn:name="Internal",type=boolean,priority=1,JSONPath=`.spec.internal`
// +kubebuilder:printcolumn:name="Accepted",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Accepted")].reason`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Network struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec NetworkSpec `json:"spec,omitzero"`
	// +optional
	Status NetworkStatus `json:"status,omitzero"`
}

// NetworkList is a list of networks.
//
// +kubebuilder:object:root=true
type NetworkList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Network `json:"items"`
}

// GetConditions returns the network's conditions, to be changed in place.
func (n *Network) GetConditions() *[]metav1.Condition { return &n.Status.Conditions }

// AsInForce is the network with the spec that is in force: its own or, while that is
// refused, the one that was accepted last, with its generation. Not to be written.
func (n *Network) AsInForce() *Network {
	if n.Status.InForce == nil {
		return n
	}
	out := *n
	out.Spec = *n.Status.InForce
	if c := meta.FindStatusCondition(out.Status.Conditions, ConditionProgrammed); c != nil {
		out.Generation = c.ObservedGeneration
	}
	out.Status.Conditions = slices.Clone(out.Status.Conditions)
	return &out
}

// EffectiveDNSName is spec.dnsName or, where it is empty, the object's name.
func (n *Network) EffectiveDNSName() string {
	if n.Spec.DNSName != "" {
		return n.Spec.DNSName
	}
	return n.Name
}

// ServesNames tells whether the network has a name server.
func (n *Network) ServesNames() bool {
	return n.Spec.DNS == nil || n.Spec.DNS.Enabled == nil || *n.Spec.DNS.Enabled
}

// DefaultLeaseSeconds is the lease of a network that names none.
const DefaultLeaseSeconds = 3600

// ServesDHCP tells whether the network answers DHCP.
func (n *Network) ServesDHCP() bool { return n.Spec.DHCP != nil && n.Spec.DHCP.Enabled }

// EffectiveLease is spec.dhcp.leaseSeconds or the default, in seconds.
func (n *Network) EffectiveLease() int {
	if n.Spec.DHCP != nil && n.Spec.DHCP.LeaseSeconds != 0 {
		return int(n.Spec.DHCP.LeaseSeconds)
	}
	return DefaultLeaseSeconds
}

// DefaultMTU is the MTU in bytes of a network that names none.
const DefaultMTU = 1500

// EffectiveMTU is spec.mtu or the default, in bytes.
func (n *Network) EffectiveMTU() int {
	if n.Spec.MTU != nil {
		return int(*n.Spec.MTU)
	}
	return DefaultMTU
}

// EffectiveEgressMode is spec.egress.mode or the default. An internal network
// has none.
func (n *Network) EffectiveEgressMode() EgressMode {
	switch {
	case n.Spec.Internal:
		return EgressNone
	case n.Spec.Egress != nil && n.Spec.Egress.Mode != "":
		return n.Spec.Egress.Mode
	}
	return EgressNAT
}
