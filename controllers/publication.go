// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/nat"
)

// publication is a range of the host's ports at one address, or at all of one family.
type publication struct {
	field       string // in the spec, for messages
	protocol    nat.Protocol
	listen      netip.Addr
	first, last uint16
	target      uint16 // the container's port that first leads to
}

var protocols = map[v1alpha1.Protocol]nat.Protocol{"": nat.TCP, "tcp": nat.TCP, "udp": nat.UDP, "sctp": nat.SCTP}

// publications resolves ports for the families that an attachment has.
func publications(ports []v1alpha1.PublishedPort, network string, has4, has6 bool) ([]publication, *Refusal) {
	var out []publication
	for i, p := range ports {
		one := publication{
			field:    fmt.Sprintf("spec.ports[%d]", i),
			protocol: protocols[p.Protocol],
			first:    uint16(p.HostPort), last: uint16(p.HostPort), target: uint16(p.ContainerPort),
		}
		if p.HostPortEnd != 0 {
			one.last = uint16(p.HostPortEnd)
		}
		if p.HostIP == "" {
			if has4 {
				one.listen = netip.IPv4Unspecified()
				out = append(out, one)
			}
			if has6 {
				one.listen = netip.IPv6Unspecified()
				out = append(out, one)
			}
			continue
		}
		addr, err := netip.ParseAddr(p.HostIP)
		if err != nil {
			return nil, &Refusal{v1alpha1.ReasonPortsNotAllowed, fmt.Sprintf("%s.hostIP: %v", one.field, err)}
		}
		family := "IPv6"
		if addr.Is4() {
			family = "IPv4"
		}
		if addr.Is4() && !has4 || addr.Is6() && !has6 {
			return nil, &Refusal{v1alpha1.ReasonPortsNotAllowed, fmt.Sprintf(
				"%s.hostIP: %s: network %s has no %s subnet; name an address of the other family, or none", one.field, addr, network, family)}
		}
		one.listen = addr
		out = append(out, one)
	}
	return out, nil
}

// overlaps tells whether two addresses can be the same one.
func overlaps(x, y netip.Addr) bool {
	return x == y || x.Is4() == y.Is4() && (x.IsUnspecified() || y.IsUnspecified())
}

// addressesOf are the addresses in an attachment's status.
func addressesOf(a *v1alpha1.Attachment) []netip.Addr {
	var out []netip.Addr
	for _, s := range a.Status.Addresses {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p.Addr())
		}
	}
	return out
}

// addressesLeft are the addresses that an attachment had and has no longer.
func addressesLeft(before, now *v1alpha1.Attachment) []netip.Addr {
	has := addressesOf(now)
	return slices.DeleteFunc(addressesOf(before), func(a netip.Addr) bool { return slices.Contains(has, a) })
}

// natPorts are the published ports in force of an attachment.
func natPorts(a *v1alpha1.Attachment) []nat.Port {
	targets := map[bool]netip.Addr{} // by whether it is IPv4
	for _, addr := range addressesOf(a) {
		targets[addr.Is4()] = addr
	}
	list, why := publications(a.Status.Ports, a.Spec.Network, targets[true].IsValid(), targets[false].IsValid())
	if why != nil {
		return nil
	}
	out := make([]nat.Port, len(list))
	for i, p := range list {
		out[i] = nat.Port{Protocol: p.protocol, Listen: p.listen, First: p.first, Last: p.last,
			Target: netip.AddrPortFrom(targets[p.listen.Is4()], p.target)}
	}
	return out
}
