// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// linkLocalBits are the prefix lengths of link-local addresses: those that Docker
// gives them.
func linkLocalBits(a netip.Addr) int {
	if a.Is4() {
		return 16
	}
	return 64
}

// checkLinkLocals enters the link-local addresses of the spec into the grant. Each
// is one attachment's in a network, and so are those that OVN lets everybody use
// by its MAC address, without being told.
func checkLinkLocals(a *v1alpha1.Attachment, e *networkEntry, grant *attachmentEntry) *Refusal {
	if own := topology.LinkLocal(grant.mac); e.heldByOther(own, a.Name) {
		return &Refusal{v1alpha1.ReasonMACInUse, fmt.Sprintf(
			"spec.mac: %s makes the link-local address %s, which is held by attachment %s; choose another", grant.mac, own, e.linkLocals[own])}
	}
	for i, s := range a.Spec.LinkLocalAddresses {
		addr, err := netip.ParseAddr(s)
		switch {
		case err != nil:
			return &Refusal{v1alpha1.ReasonAddressNotUsable, fmt.Sprintf("spec.linkLocalAddresses[%d]: %v", i, err)}
		case !addr.IsLinkLocalUnicast():
			return &Refusal{v1alpha1.ReasonAddressNotUsable, fmt.Sprintf(
				"spec.linkLocalAddresses[%d]: %s is not of %s or %s", i, addr, topology.LinkLocal4, topology.LinkLocal6)}
		case topology.IsRouterLinkLocal(addr):
			return &Refusal{v1alpha1.ReasonAddressNotUsable, fmt.Sprintf(
				"spec.linkLocalAddresses[%d]: %s is of the range that gateways have: what the MAC addresses 0a:… make; choose another", i, addr)}
		case e.heldByOther(addr, a.Name):
			return &Refusal{v1alpha1.ReasonAddressInUse, fmt.Sprintf(
				"spec.linkLocalAddresses[%d]: %s is held by attachment %s; choose another, or leave it out", i, addr, e.linkLocals[addr])}
		}
		grant.linkLocals = append(grant.linkLocals, netip.PrefixFrom(addr, linkLocalBits(addr)))
	}
	return nil
}

func (e *networkEntry) heldByOther(addr netip.Addr, attachment string) bool {
	holder, held := e.linkLocals[addr]
	return held && holder != attachment
}

// linkLocalsOf are all link-local addresses that are an attachment's.
func (entry *attachmentEntry) linkLocalsOf() []netip.Addr {
	out := []netip.Addr{topology.LinkLocal(entry.mac)}
	for _, p := range entry.linkLocals {
		out = append(out, p.Addr())
	}
	return out
}

func (e *networkEntry) enterLinkLocals(attachment string, entry *attachmentEntry) {
	for _, addr := range entry.linkLocalsOf() {
		e.linkLocals[addr] = attachment
	}
}

func (e *networkEntry) leaveLinkLocals(attachment string, entry *attachmentEntry) {
	for _, addr := range entry.linkLocalsOf() {
		if e.linkLocals[addr] == attachment {
			delete(e.linkLocals, addr)
		}
	}
}

// restoreLinkLocals enters what a status says. An address that somebody else has
// by then is refused later.
func restoreLinkLocals(a *v1alpha1.Attachment, e *networkEntry, entry *attachmentEntry) {
	for _, s := range a.Status.LinkLocalAddresses {
		if p, err := netip.ParsePrefix(s); err == nil && !e.heldByOther(p.Addr(), a.Name) {
			entry.linkLocals = append(entry.linkLocals, p)
		}
	}
	for _, addr := range entry.linkLocalsOf() {
		if !e.heldByOther(addr, a.Name) {
			e.linkLocals[addr] = a.Name
		}
	}
}

// AlsoHold names the attachments of any network that hold some of these link-local
// addresses, which an attachment no longer has. Where a selector of a policy
// selected both, one set had the address for both, and it went with the first.
func (b *Book) AlsoHold(addresses []netip.Prefix) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.alsoHold(addresses)
}

func (b *Book) alsoHold(addresses []netip.Prefix) (out []string) {
	for _, p := range addresses {
		for _, e := range b.networks {
			if holder, held := e.linkLocals[p.Addr()]; held && !slices.Contains(out, holder) {
				out = append(out, holder)
			}
		}
	}
	return out
}

// linkLocalsLeft are the link-local addresses that an attachment had and has no longer.
func linkLocalsLeft(before, now *v1alpha1.Attachment) (left []netip.Prefix) {
	for _, s := range before.Status.LinkLocalAddresses {
		if p, err := netip.ParsePrefix(s); err == nil && !slices.Contains(now.Status.LinkLocalAddresses, s) {
			left = append(left, p)
		}
	}
	return left
}
