// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// match writes an OVN expression for traffic of some protocol from source to
// destination, or "" where no packet can be so.
func match(source, destination addresses, protocol v1alpha1.PolicyProtocol, ports []v1alpha1.PortRange) string {
	var families []string
	for _, f := range []struct {
		name     string
		src, dst []string
	}{{"4", source.v4, destination.v4}, {"6", source.v6, destination.v6}} {
		if !source.everywhere && len(f.src) == 0 || !destination.everywhere && len(f.dst) == 0 {
			continue
		}
		var terms []string
		if !source.everywhere {
			terms = append(terms, oneOf("ip"+f.name+".src", f.src))
		}
		if !destination.everywhere {
			terms = append(terms, oneOf("ip"+f.name+".dst", f.dst))
		}
		if len(terms) == 0 {
			terms = []string{"ip" + f.name}
		}
		if protocol == v1alpha1.PolicyICMP {
			terms = append(terms, "icmp"+f.name)
		}
		families = append(families, strings.Join(terms, " && "))
	}
	transport := transportMatch(protocol, ports)
	switch {
	case len(families) == 0:
		return ""
	case transport == "":
		return either(families)
	case len(families) == 1:
		return families[0] + " && " + transport
	}
	return "(" + either(families) + ") && " + transport
}

// either joins terms of which one must be true.
func either(terms []string) string {
	if len(terms) == 1 {
		return terms[0]
	}
	return "(" + strings.Join(terms, ") || (") + ")"
}

func oneOf(field string, values []string) string {
	if len(values) == 1 {
		return field + " == " + values[0]
	}
	return field + " == {" + strings.Join(values, ", ") + "}"
}

// transportMatch is the part about protocol and destination ports.
func transportMatch(protocol v1alpha1.PolicyProtocol, ports []v1alpha1.PortRange) string {
	switch protocol {
	case "", v1alpha1.PolicyAny, v1alpha1.PolicyICMP:
		return ""
	}
	if len(ports) == 0 {
		return string(protocol)
	}
	field := string(protocol) + ".dst"
	var single, terms []string
	for _, p := range ports {
		if last := lastPort(p); last > p.Port {
			terms = append(terms, fmt.Sprintf("%d <= %s <= %d", p.Port, field, last))
		} else if s := fmt.Sprint(p.Port); !slices.Contains(single, s) {
			single = append(single, s)
		}
	}
	if len(single) > 0 {
		terms = append([]string{oneOf(field, single)}, terms...)
	}
	if len(terms) == 1 {
		return terms[0]
	}
	return "(" + strings.Join(terms, " || ") + ")"
}

func lastPort(p v1alpha1.PortRange) int32 { return max(p.Port, p.EndPort) }
