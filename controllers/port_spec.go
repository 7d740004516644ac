// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"

	"k8s.io/apimachinery/pkg/types"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/topology"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

// hostPortName derives the name of the OVS port and interface from the
// object's UID. A kernel's interface name has at most 15 bytes.
func hostPortName(uid types.UID) string {
	sum := sha256.Sum256([]byte(uid))
	return vnet.NamePrefix + hex.EncodeToString(sum[:])[:11]
}

// portNameOf is the name of an attachment's OVS port and interface.
func portNameOf(a *v1alpha1.Attachment) string {
	if a.Spec.Interface.Type != v1alpha1.InterfaceVeth && a.Spec.Interface.Name != "" {
		return a.Spec.Interface.Name
	}
	return hostPortName(a.UID)
}

// portOf is the desired port of an attachment whose addresses are in its status.
func portOf(a *v1alpha1.Attachment) (vnet.Port, error) {
	p := vnet.Port{
		Owner:   vnet.Owner{Kind: topology.KindAttachment, Name: a.Name, UID: string(a.UID)},
		Type:    vnet.Type(a.Spec.Interface.Type),
		Name:    portNameOf(a),
		IfaceID: topology.PortName(a.UID),
		Netns:   a.Spec.Interface.Netns,
		MTU:     int(a.Status.MTU),
	}
	if a.Spec.Interface.Type == v1alpha1.InterfaceVeth {
		p.InnerName = innerName(a)
	}
	mac, err := net.ParseMAC(a.Status.MAC)
	if err != nil {
		return p, fmt.Errorf("attachment %s: status.mac: %w", a.Name, err)
	}
	p.MAC = mac
	for i, s := range a.Status.Addresses {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			return p, fmt.Errorf("attachment %s: status.addresses[%d]: %w", a.Name, i, err)
		}
		p.Addresses = append(p.Addresses, prefix)
	}
	for i, s := range a.Status.LinkLocalAddresses {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			return p, fmt.Errorf("attachment %s: status.linkLocalAddresses[%d]: %w", a.Name, i, err)
		}
		p.Addresses = append(p.Addresses, prefix)
	}
	if a.Spec.Interface.Type != v1alpha1.InterfaceVeth {
		// Only a container's own namespace gets a default route: the host's is
		// not ours.
		return p, nil
	}
	for i, s := range a.Status.Gateways {
		via, err := netip.ParseAddr(s)
		if err != nil {
			return p, fmt.Errorf("attachment %s: status.gateways[%d]: %w", a.Name, i, err)
		}
		p.Routes = append(p.Routes, vnet.Route{
			Dst:    netip.PrefixFrom(unspecified(via), 0),
			Via:    via,
			Metric: int(a.Status.RouteMetric),
		})
	}
	return p, nil
}

func unspecified(of netip.Addr) netip.Addr {
	if of.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func innerName(a *v1alpha1.Attachment) string {
	if a.Spec.Interface.Name != "" {
		return a.Spec.Interface.Name
	}
	return v1alpha1.DefaultInterfaceName
}
