// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
)

// AttachmentOwner owns the rows of an attachment.
func AttachmentOwner(a *v1alpha1.Attachment) ovnsync.Owner {
	return ovnsync.Owner{Kind: KindAttachment, Name: a.Name, UID: string(a.UID)}
}

// Attachment returns the rows of an attachment of a network, whose addresses
// are in its status: one port, on the network's switch and in its port group,
// which is the first of them, and its limits.
// Port security lets only its own MAC and IP addresses in; OVN adds the IPv6
// link-local address of the MAC by itself. Link-local addresses that were asked
// for are there alone: OVN would answer for others, and make a flow of each on
// the router, which never sends there.
func Attachment(a *v1alpha1.Attachment, n *v1alpha1.Network) ([]ovnsync.Row, error) {
	if a.Status.MAC == "" || len(a.Status.Addresses) == 0 {
		return nil, fmt.Errorf("attachment %s: status.mac or status.addresses is empty", a.Name)
	}
	parts := []string{a.Status.MAC}
	for i, s := range a.Status.Addresses {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("attachment %s: status.addresses[%d]: %w", a.Name, i, err)
		}
		parts = append(parts, p.Addr().String())
	}
	addresses := strings.Join(parts, " ")
	for i, s := range a.Status.LinkLocalAddresses {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("attachment %s: status.linkLocalAddresses[%d]: %w", a.Name, i, err)
		}
		parts = append(parts, p.Addr().String())
	}
	port := ovnsync.Row{
		ID: portID(a.UID),
		Model: &nbdb.LogicalSwitchPort{
			Name:         PortName(a.UID),
			Addresses:    []string{addresses},
			PortSecurity: []string{strings.Join(parts, " ")},
		},
		Columns:    switchPortColumns,
		References: dhcpReferences(n),
		Members: []ovnsync.Member{
			{Table: nbdb.LogicalSwitchTable, ID: switchID(a.Spec.Network), Column: "ports"},
			{Table: nbdb.PortGroupTable, ID: portGroupID(a.Spec.Network), Column: "ports"},
		},
	}
	return append([]ovnsync.Row{port}, bandwidth(a)...), nil
}
