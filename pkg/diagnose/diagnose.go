// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package diagnose decides why an object is not ready and what to do about it:
// pure functions over the objects, so that a command, a test and a health
// report give the same answer. It must not do I/O.
package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// Finding is one fact about an object, in the order in which things must come
// true.
type Finding struct {
	// OK tells whether the fact is as it should be.
	OK bool `json:"ok"`
	// What was looked at.
	What string `json:"what"`
	// Found is what was seen.
	Found string `json:"found"`
	// Do is what helps, where something is wrong and somebody can help.
	Do string `json:"do,omitempty"`
}

// advice says what helps against a reason.
var advice = map[string]string{
	v1alpha1.ReasonSubnetOverlap:         "choose another range in spec.subnets, or delete the older network",
	v1alpha1.ReasonSubnetInUse:           "delete the network's attachments first, or set spec.subnets back",
	v1alpha1.ReasonPoolExhausted:         "delete attachments or networks that are not needed, or name a larger range",
	v1alpha1.ReasonNameConflict:          "choose another name",
	v1alpha1.ReasonNetworkNotFound:       "create the network; what waits for it then goes on by itself",
	v1alpha1.ReasonNetworkNotAccepted:    "see what stands against the network: arcactl explain network/NAME",
	v1alpha1.ReasonNetworkDeleting:       "wait until the network is gone and create it again, or use another",
	v1alpha1.ReasonAddressInUse:          "choose another address in spec.addresses, or leave it out",
	v1alpha1.ReasonAddressNotUsable:      "choose an address of the network's subnets in spec.addresses, or leave it out",
	v1alpha1.ReasonMACInUse:              "choose another address in spec.mac, or leave it out",
	v1alpha1.ReasonNorthboundUnavailable: "see whether the OVN northbound database runs; it goes on by itself once it answers",
	v1alpha1.ReasonNetnsNotFound:         "create the network namespace (ip netns add NAME); the attachment then goes on by itself",
	v1alpha1.ReasonInterfaceNotFound:     "create the interface; the attachment then goes on by itself",
	v1alpha1.ReasonInterfaceConflict:     "remove the other interface, or choose another spec.interface.name",
	v1alpha1.ReasonAttachmentsRemain:     "delete the attachments that the message names",
	v1alpha1.ReasonInvalid:               "correct the field that the message names",
	v1alpha1.ReasonPriorityConflict:      "choose another spec.priority, or change or delete the older policy",
	v1alpha1.ReasonFamilyMismatch:        "leave the peer out, or give the network a subnet of its family",
	v1alpha1.ReasonTooManyRules:          "delete rules or policies that are not needed, or name peers and ports of one rule together",
	v1alpha1.ReasonNothingSelected:       "label the attachments, or correct the selector",
}

// Network explains a network.
func Network(n *v1alpha1.Network) []Finding {
	return append(deleting(n, n.Status.Conditions), conditions(n, n.Status.ObservedGeneration, n.Status.Conditions)...)
}

// Attachment explains an attachment; network is nil where it does not exist.
func Attachment(a *v1alpha1.Attachment, network *v1alpha1.Network) []Finding {
	out := deleting(a, a.Status.Conditions)
	f := Finding{What: "network " + a.Spec.Network}
	switch {
	case network == nil:
		f.Found, f.Do = "does not exist", advice[v1alpha1.ReasonNetworkNotFound]
	case !network.DeletionTimestamp.IsZero():
		f.Found, f.Do = "is being deleted", advice[v1alpha1.ReasonNetworkDeleting]
	case !meta.IsStatusConditionTrue(network.Status.Conditions, v1alpha1.ConditionReady):
		f.Found, f.Do = "is not ready", "arcactl explain network/"+network.Name
	default:
		f.OK, f.Found = true, "is ready"
	}
	return append(append(out, f), conditions(a, a.Status.ObservedGeneration, a.Status.Conditions)...)
}

// Policy explains a policy beside all others and the attachments.
func Policy(p *v1alpha1.Policy, all []v1alpha1.Policy, attachments []v1alpha1.Attachment) []Finding {
	out := append(deleting(p, p.Status.Conditions), conditions(p, p.Status.ObservedGeneration, p.Status.Conditions)...)
	if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionResolvedRefs); c != nil && c.Status != metav1.ConditionTrue {
		// The policy works all the same.
		out = append(out, Finding{OK: true, What: c.Type, Found: c.Reason + ": " + c.Message, Do: advice[c.Reason]})
	}
	if spec := p.SpecInForce(); spec != nil && !meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionAccepted) {
		out = append(out, Finding{OK: true, What: "in force", Found: fmt.Sprintf("what was accepted last (status.inForce): %d ingress and %d egress rules",
			len(spec.Ingress), len(spec.Egress))})
	}
	names := endpointsOf(p, attachments)
	out = append(out, Finding{OK: true, What: "endpoints", Found: fmt.Sprintf("is for %d: %s", len(names), some(names))})
	if before := lookedAtBefore(p, all, attachments); len(before) > 0 {
		out = append(out, Finding{OK: true, What: "order", Found: "for some of them these decide first: " + some(before)})
	}
	return out
}

// endpointsOf names the attachments that a policy is for.
func endpointsOf(p *v1alpha1.Policy, attachments []v1alpha1.Attachment) []string {
	var out []string
	for i := range attachments {
		if a := &attachments[i]; isFor(p, a) {
			out = append(out, a.Name)
		}
	}
	return out
}

func isFor(p *v1alpha1.Policy, a *v1alpha1.Attachment) bool {
	if p.Spec.Selector == nil {
		return a.Spec.Network == p.Spec.Network
	}
	s, err := metav1.LabelSelectorAsSelector(p.Spec.Selector)
	return err == nil && s.Matches(labels.Set(a.Labels))
}

// lookedAtBefore names the policies that are for some of the same endpoints
// and come first.
func lookedAtBefore(p *v1alpha1.Policy, all []v1alpha1.Policy, attachments []v1alpha1.Attachment) []string {
	var out []string
	for i := range all {
		other := &all[i]
		spec := other.SpecInForce()
		if other.Name == p.Name || spec == nil {
			continue
		}
		other = other.WithSpec(spec)
		if other.Spec.Priority > p.Spec.Priority ||
			other.Spec.Priority == p.Spec.Priority && !other.CreationTimestamp.Before(&p.CreationTimestamp) {
			continue
		}
		if slices.ContainsFunc(attachments, func(a v1alpha1.Attachment) bool { return isFor(p, &a) && isFor(other, &a) }) {
			out = append(out, fmt.Sprintf("%s (priority %d)", other.Name, other.Spec.Priority))
		}
	}
	return out
}

// some joins the first few.
func some(list []string) string {
	if len(list) > 5 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:5], ", "), len(list)-5)
	}
	return strings.Join(list, ", ")
}

func deleting(o metav1.Object, have []metav1.Condition) []Finding {
	if o.GetDeletionTimestamp().IsZero() {
		return nil
	}
	f := Finding{What: "deletion", Found: "asked for, under way"}
	if c := meta.FindStatusCondition(have, v1alpha1.ConditionDeleting); c != nil {
		f.Found, f.Do = c.Message, advice[c.Reason]
	}
	return []Finding{f}
}

func conditions(o metav1.Object, observed int64, have []metav1.Condition) []Finding {
	var out []Finding
	if observed != o.GetGeneration() {
		out = append(out, Finding{
			What:  "the controller",
			Found: fmt.Sprintf("has seen generation %d of %d", observed, o.GetGeneration()),
			Do:    "see whether arca-network runs",
		})
	}
	for _, t := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionProgrammed, v1alpha1.ConditionReady} {
		c := meta.FindStatusCondition(have, t)
		if c == nil {
			out = append(out, Finding{What: t, Found: "not known yet"})
			continue
		}
		f := Finding{OK: c.Status == metav1.ConditionTrue, What: t, Found: string(c.Status)}
		if !f.OK {
			f.Found, f.Do = c.Reason+": "+c.Message, advice[c.Reason]
		}
		out = append(out, f)
	}
	return out
}

// Ready tells whether nothing was found wrong.
func Ready(findings []Finding) bool {
	for _, f := range findings {
		if !f.OK {
			return false
		}
	}
	return true
}
