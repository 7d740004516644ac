// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PolicySpec says what traffic may pass.
//
// +kubebuilder:validation:XValidation:rule="has(self.network) != has(self.selector)",message="exactly one of network and selector must be given, for example network: web"
type PolicySpec struct {
	// network whose endpoints the policy is for.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Network string `json:"network,omitempty"`
	// selector of the attachments, by label, that the policy is for.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
	// priority: the lower number is looked at first, and the first rule that
	// matches decides.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Priority int32 `json:"priority,omitempty"`
	// ingress rules, for traffic towards the endpoints, in order.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Ingress []PolicyRule `json:"ingress,omitempty"`
	// egress rules, for traffic from the endpoints, in order.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Egress []PolicyRule `json:"egress,omitempty"`
}

// PolicyAction is what happens to traffic that a rule matches.
// +kubebuilder:validation:Enum=Allow;Deny;Reject
type PolicyAction string

// The actions of a rule.
const (
	// PolicyAllow lets traffic and its replies pass.
	PolicyAllow PolicyAction = "Allow"
	// PolicyDeny drops traffic silently.
	PolicyDeny PolicyAction = "Deny"
	// PolicyReject answers with a TCP reset or an ICMP error.
	PolicyReject PolicyAction = "Reject"
)

// PolicyProtocol is a protocol that a rule matches.
// +kubebuilder:validation:Enum=tcp;udp;sctp;icmp;any
type PolicyProtocol string

// The protocols of a rule.
const (
	PolicyTCP  PolicyProtocol = "tcp"
	PolicyUDP  PolicyProtocol = "udp"
	PolicySCTP PolicyProtocol = "sctp"
	// PolicyICMP is ICMP for IPv4 and ICMPv6 for IPv6.
	PolicyICMP PolicyProtocol = "icmp"
	PolicyAny  PolicyProtocol = "any"
)

// PolicyRule is one rule.
//
// +kubebuilder:validation:XValidation:rule="!has(self.ports) || self.ports.size() == 0 || (has(self.protocol) && self.protocol in ['tcp', 'udp', 'sctp'])",fieldPath=".ports",message="ports need protocol tcp, udp or sctp"
type PolicyRule struct {
	// action: Allow, Deny or Reject.
	// +required
	Action PolicyAction `json:"action"`
	// peers at the other end; any of them matches. Default: everybody.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Peers []PolicyPeer `json:"peers,omitempty"`
	// protocol: tcp, udp, sctp, icmp or any. Default: any.
	// +optional
	Protocol PolicyProtocol `json:"protocol,omitempty"`
	// ports of the destination; any of them matches. Default: all.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Ports []PortRange `json:"ports,omitempty"`
	// log writes a line for each new connection that the rule decides.
	// +optional
	Log bool `json:"log,omitempty"`
}

// PolicyPeer is the other end of traffic: exactly one of network, cidr,
// selector and internet is given.
//
// +kubebuilder:validation:XValidation:rule="(has(self.network) ? 1 : 0) + (has(self.cidr) ? 1 : 0) + (has(self.selector) ? 1 : 0) + (has(self.internet) && self.internet ? 1 : 0) == 1",message="exactly one of network, cidr, selector and internet: true must be given"
// +kubebuilder:validation:XValidation:rule="!has(self.except) || self.except.size() == 0 || has(self.cidr)",fieldPath=".except",message="is only for a peer with cidr"
// +kubebuilder:validation:XValidation:rule="!has(self.except) || !has(self.cidr) || !isCIDR(self.cidr) || self.except.all(e, !isCIDR(e) || cidr(self.cidr).containsCIDR(e))",fieldPath=".except",message="every range must lie inside cidr"
type PolicyPeer struct {
	// network: the endpoints of a network.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Network string `json:"network,omitempty"`
	// cidr: a range of addresses.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="must be a range in CIDR form, for example 10.88.0.0/24 or fd00:88::/64"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self).masked() == cidr(self)",message="must have no host bits set"
	CIDR string `json:"cidr,omitempty"`
	// except: parts of cidr that do not match.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="self.all(e, isCIDR(e))",message="must hold ranges in CIDR form, for example 10.88.0.0/28"
	// +kubebuilder:validation:XValidation:rule="self.all(e, !isCIDR(e) || cidr(e).masked() == cidr(e))",message="must have no host bits set"
	Except []string `json:"except,omitempty"`
	// selector: attachments by label.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
	// internet: everything outside the networks, less what no router carries.
	// +optional
	Internet bool `json:"internet,omitempty"`
}

// PortRange is a port or a range of ports.
//
// +kubebuilder:validation:XValidation:rule="!has(self.endPort) || self.endPort >= self.port",fieldPath=".endPort",message="must not be less than port"
type PortRange struct {
	// port is the first port.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
	// endPort is the last port. Default: port.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	EndPort int32 `json:"endPort,omitempty"`
}

// PolicyStatus is what was observed.
type PolicyStatus struct {
	// observedGeneration is the generation that the status was computed for.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// inForce is the spec that was accepted last. It stays in force while a
	// later one is refused.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	InForce *PolicySpec `json:"inForce,omitempty"`
	// conditions: Accepted, ResolvedRefs, Programmed, Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Policy says what traffic may pass.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,path=policies,shortName=pol,categories=arca
// +kubebuilder:printcolumn:name="Network",type=string,JSONPath=`.spec.network`
// +kubebuilder:printcolumn:name="Priority",type=integer,JSONPath=`.spec.priority`
// +kubebuilder:printcolumn:name="Accepted",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Accepted")].reason`
// +kubebuilder:printcolumn:name="Refs",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="ResolvedRefs")].reason`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Policy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec PolicySpec `json:"spec"`
	// +optional
	Status PolicyStatus `json:"status,omitzero"`
}

// PolicyList is a list of policies.
//
// +kubebuilder:object:root=true
type PolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Policy `json:"items"`
}

// GetConditions returns the policy's conditions, to be changed in place.
func (p *Policy) GetConditions() *[]metav1.Condition { return &p.Status.Conditions }

// SpecInForce is the spec that was accepted last, or nil: while the policy's own
// is refused, its rules stay in force.
func (p *Policy) SpecInForce() *PolicySpec {
	if p.Status.InForce == nil {
		c := meta.FindStatusCondition(p.Status.Conditions, ConditionAccepted)
		if c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == p.Generation {
			return &p.Spec // accepted by a version that did not note it
		}
	}
	return p.Status.InForce
}

// WithSpec is the policy as it would be with another spec.
func (p *Policy) WithSpec(spec *PolicySpec) *Policy {
	out := *p
	out.Spec = *spec
	return &out
}
