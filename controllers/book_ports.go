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

// hostPort is a port of a host, at whatever address.
type hostPort struct {
	node     string
	protocol nat.Protocol
	port     uint16
}

// portHolder is who publishes a port at an address.
type portHolder struct {
	attachment string
	listen     netip.Addr
}

func (b *Book) nodeOf(a *v1alpha1.Attachment) string {
	if a.Spec.Node == "" {
		return b.node
	}
	return a.Spec.Node
}

// each calls fn for every port of publications until it returns false.
func each(node string, ports []publication, fn func(hostPort, publication) bool) {
	for _, p := range ports {
		for n := int(p.first); n <= int(p.last); n++ {
			if !fn(hostPort{node, p.protocol, uint16(n)}, p) {
				return
			}
		}
	}
}

// families tells which ones a network has.
func (e *networkEntry) families() (has4, has6 bool) {
	for _, p := range e.pools {
		if p.CIDR().Addr().Is4() {
			has4 = true
		} else {
			has6 = true
		}
	}
	return has4, has6
}

// claimPorts enters into a grant what an attachment publishes, unless somebody
// else does.
func (b *Book) claimPorts(a *v1alpha1.Attachment, e *networkEntry, grant *attachmentEntry) *Refusal {
	if len(a.Spec.Ports) == 0 {
		return nil
	}
	if e.spec.Internal {
		return &Refusal{v1alpha1.ReasonPortsNotAllowed, fmt.Sprintf(
			"spec.ports: network %s is internal: nothing outside reaches it; leave ports out", a.Spec.Network)}
	}
	has4, has6 := e.families()
	ports, why := publications(a.Spec.Ports, a.Spec.Network, has4, has6)
	if why != nil {
		return why
	}
	each(grant.node, ports, func(at hostPort, p publication) bool {
		for _, h := range b.ports[at] {
			if h.attachment != a.Name && overlaps(h.listen, p.listen) {
				why = &Refusal{v1alpha1.ReasonPortInUse, fmt.Sprintf(
					"%s.hostPort: %d/%s is published by attachment %s; choose another, or delete that attachment",
					p.field, at.port, at.protocol, h.attachment)}
				return false
			}
		}
		return true
	})
	grant.ports, grant.published = ports, a.Spec.Ports
	return why
}

func (b *Book) publish(attachment string, entry *attachmentEntry) {
	each(entry.node, entry.ports, func(at hostPort, p publication) bool {
		b.ports[at] = append(b.ports[at], portHolder{attachment, p.listen})
		return true
	})
}

func (b *Book) unpublish(attachment string, entry *attachmentEntry) {
	each(entry.node, entry.ports, func(at hostPort, _ publication) bool {
		left := slices.DeleteFunc(b.ports[at], func(h portHolder) bool { return h.attachment == attachment })
		if len(left) == 0 {
			delete(b.ports, at)
		} else {
			b.ports[at] = left
		}
		return true
	})
}

// restorePorts enters what a status says.
func (b *Book) restorePorts(a *v1alpha1.Attachment, e *networkEntry, entry *attachmentEntry) {
	entry.node = b.nodeOf(a)
	has4, has6 := e.families()
	ports, why := publications(a.Status.Ports, a.Spec.Network, has4, has6)
	if why != nil {
		return
	}
	entry.ports, entry.published = ports, a.Status.Ports
	b.publish(a.Name, entry)
}

// Unpublished are the ports of an attachment that are not its own yet: whether
// the host can publish them has to be asked.
func (b *Book) Unpublished(a *v1alpha1.Attachment, n *v1alpha1.Network) []publication {
	if len(a.Spec.Ports) == 0 || n.Spec.Internal {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.networks[n.Name]
	if e == nil {
		return nil
	}
	has4, has6 := e.families()
	ports, _ := publications(a.Spec.Ports, a.Spec.Network, has4, has6)
	held := b.attachments[a.Name]
	return slices.DeleteFunc(ports, func(p publication) bool {
		return held != nil && held.uid == string(a.UID) && slices.ContainsFunc(held.ports, func(h publication) bool {
			return h.protocol == p.protocol && h.listen == p.listen && h.first <= p.first && p.last <= h.last
		})
	})
}
