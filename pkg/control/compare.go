// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// compareNetwork tells how a network that exists differs from what is asked.
// What is not asked for may be anything.
func compareNetwork(want *v1alpha1.Network, r *controlpb.CreateBridgeRequest, have *v1alpha1.Network, fields fieldMap) []violation {
	e := have.Spec.DeepCopy()
	e.DNSName = have.EffectiveDNSName()
	e.Subnets = effectiveSubnets(have)
	mtu, together := int32(have.EffectiveMTU()), true
	e.MTU = &mtu
	e.Egress = &v1alpha1.NetworkEgress{Mode: have.EffectiveEgressMode()}
	if e.InterContainer == nil {
		e.InterContainer = &together
	}
	w := want.Spec.DeepCopy()
	e.IPFamilies = nil
	for _, f := range familiesOf(have) {
		e.IPFamilies = append(e.IPFamilies, v1alpha1.IPFamily(f))
	}
	slices.Sort(w.IPFamilies)
	// A family may be asked for without its subnet, which is chosen then.
	if len(w.IPFamilies) > 0 {
		e.Subnets = slices.DeleteFunc(e.Subnets, func(s v1alpha1.Subnet) bool {
			return !slices.ContainsFunc(w.Subnets, func(w v1alpha1.Subnet) bool { return familyOf(w.CIDR) == familyOf(s.CIDR) })
		})
	}
	for _, s := range [][]v1alpha1.Subnet{w.Subnets, e.Subnets} {
		for i := range s {
			s[i].Gateway = canonicalAddress(s[i].Gateway)
		}
	}
	out := subset(w, e, fields)
	if r.Internal != nil && r.GetInternal() != have.Spec.Internal && !r.GetInternal() {
		out = append(out, violation{"internal", "is true, not false"})
	}
	return append(out, compareMetadata(want, have)...)
}

// compareAttachment tells how an attachment that exists differs from what is
// asked.
func compareAttachment(want, have *v1alpha1.Attachment, fields fieldMap) []violation {
	w, e := want.Spec.DeepCopy(), effectiveAttachment(have)
	w.MAC = canonicalMAC(w.MAC)
	canonicalLinkLocals(w)
	completePorts(w.Ports)
	var out []violation
	// One address may be asked for where there are two; their order means nothing.
	for i, a := range w.Addresses {
		if !slices.Contains(e.Addresses, canonicalAddress(a)) {
			out = append(out, violation{fields.request(fmt.Sprintf("spec.addresses[%d]", i)), fmt.Sprintf("is %v, not %s", e.Addresses, a)})
		}
	}
	w.Addresses = nil
	out = append(out, subset(w, e, fields)...)
	return append(out, compareMetadata(want, have)...)
}

func compareMetadata(want, have object) []violation {
	out := compareLabels(want.GetLabels(), have.GetLabels())
	for k, v := range want.GetAnnotations() {
		if h := have.GetAnnotations()[k]; h != v {
			out = append(out, violation{"annotations", fmt.Sprintf("%s is %s, not %s", quote(k), quote(h), quote(v))})
		}
	}
	return out
}

// completePorts enters what published ports leave out.
func completePorts(ports []v1alpha1.PublishedPort) {
	for i := range ports {
		p := &ports[i]
		p.HostIP = canonicalAddress(p.HostIP)
		p.HostPortEnd = cmp.Or(p.HostPortEnd, p.HostPort)
		p.Protocol = cmp.Or(p.Protocol, "tcp")
	}
}

func compareLabels(want, have map[string]string) (out []violation) {
	for k, v := range want {
		if have[k] == v {
			continue
		}
		field := "labels"
		if k == ManagerLabel {
			field = "manager"
		}
		out = append(out, violation{field, fmt.Sprintf("%s is %s, not %s", k, quote(have[k]), quote(v))})
	}
	return out
}

// subset tells which fields of want, an API type, are not so in have.
func subset(want, have any, fields fieldMap) []violation {
	w, err := runtime.DefaultUnstructuredConverter.ToUnstructured(want)
	if err != nil {
		return []violation{{"", err.Error()}}
	}
	h, err := runtime.DefaultUnstructuredConverter.ToUnstructured(have)
	if err != nil {
		return []violation{{"", err.Error()}}
	}
	return differences("spec", w, h, fields)
}

func differences(path string, want, have any, fields fieldMap) (out []violation) {
	switch w := want.(type) {
	case map[string]any:
		h, _ := have.(map[string]any)
		for k, v := range w {
			out = append(out, differences(path+"."+k, v, h[k], fields)...)
		}
		return out
	case []any:
		h, _ := have.([]any)
		if len(w) == len(h) {
			for i := range w {
				out = append(out, differences(path+"["+strconv.Itoa(i)+"]", w[i], h[i], fields)...)
			}
			return out
		}
	}
	if reflect.DeepEqual(want, have) {
		return nil
	}
	if have == nil {
		return []violation{{fields.request(path), fmt.Sprintf("is not set, not %v", want)}}
	}
	return []violation{{fields.request(path), fmt.Sprintf("is %v, not %v", have, want)}}
}
