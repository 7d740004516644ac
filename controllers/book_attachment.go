// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// routerHolder holds the router's MAC address of a network. It is no object's
// name: those have no space.
const routerHolder = "the gateway"

// attachmentEntry is what an attachment holds.
type attachmentEntry struct {
	uid       string
	network   string
	addresses []netip.Prefix
	gateways  []netip.Addr
	// linkLocals are what it asks for.
	linkLocals []netip.Prefix
	mac        net.HardwareAddr
	returns    []netip.Prefix // addresses to have again, see networkEntry.left
	members    []string       // keys in networkEntry.members
	place      string         // key in Book.interfaces
	node       string
	ports      []publication
	published  []v1alpha1.PublishedPort
	// spec is what was granted. Nil: it was restored, and is not known.
	spec *v1alpha1.AttachmentSpec
}

// apply writes what was granted to the status in memory.
func (e *attachmentEntry) apply(a *v1alpha1.Attachment, n *v1alpha1.Network) {
	a.Status.Addresses = a.Status.Addresses[:0:0]
	for _, p := range e.addresses {
		a.Status.Addresses = append(a.Status.Addresses, p.String())
	}
	a.Status.LinkLocalAddresses = a.Status.LinkLocalAddresses[:0:0]
	for _, p := range e.linkLocals {
		a.Status.LinkLocalAddresses = append(a.Status.LinkLocalAddresses, p.String())
	}
	a.Status.Gateways = a.Status.Gateways[:0:0]
	for _, g := range e.gateways {
		a.Status.Gateways = append(a.Status.Gateways, g.String())
	}
	a.Status.MAC = e.mac.String()
	a.Status.MTU = int32(n.EffectiveMTU())
	a.Status.RouteMetric = 0
	if a.Spec.Interface.Type == v1alpha1.InterfaceVeth {
		a.Status.RouteMetric = routeMetric(a, n)
	}
	a.Status.Ports = e.published
}

// AcquireAttachment gives an attachment its addresses, its MAC address and its
// names: those that it holds already, those that its spec names, or some that
// are free. The network must have been granted its subnets.
func (b *Book) AcquireAttachment(a *v1alpha1.Attachment, n *v1alpha1.Network) (*attachmentEntry, *Refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.networks[n.Name]
	if e == nil || e.uid != string(n.UID) {
		return nil, &Refusal{v1alpha1.ReasonNetworkNotAccepted, "spec.network: network " + n.Name + " has not been accepted yet"}
	}
	for _, w := range b.ahead(a, e) {
		if of := b.networks[w.Spec.Network]; of != nil {
			if _, why := b.acquireAttachment(w, of); why == nil {
				b.wakeAttachments(w.Name)
			}
		}
	}
	return b.acquireAttachment(a, e)
}

// ahead are the attachments that wait and are older than one, the oldest first:
// those of its network, and those of any that want ports where it does.
func (b *Book) ahead(a *v1alpha1.Attachment, e *networkEntry) (out []*v1alpha1.Attachment) {
	waits := func(w *v1alpha1.Attachment) bool { return w.Name != a.Name && older(w, a) < 0 }
	for _, w := range e.refused {
		if waits(w) {
			out = append(out, w)
		}
	}
	if len(a.Spec.Ports) > 0 {
		for name, w := range b.wantPorts {
			if e.refused[name] == nil && waits(w) {
				out = append(out, w)
			}
		}
	}
	slices.SortFunc(out, func(x, y *v1alpha1.Attachment) int { return older(x, y) })
	return out
}

// AttachmentInForce is what an attachment holds while a change of it is refused,
// with the spec that is in force; nil where there is none, or it is not known.
func (b *Book) AttachmentInForce(a *v1alpha1.Attachment) *attachmentEntry {
	b.mu.Lock()
	defer b.mu.Unlock()
	if held := b.attachments[a.Name]; held != nil && held.uid == string(a.UID) && held.spec != nil {
		return held
	}
	return nil
}

func (b *Book) acquireAttachment(a *v1alpha1.Attachment, e *networkEntry) (*attachmentEntry, *Refusal) {
	if old := b.attachments[a.Name]; old != nil && old.uid != string(a.UID) {
		b.dropAttachment(a.Name) // a new object under an old name
	}
	grant, why := b.tryAttachment(a, e)
	if why != nil {
		if b.attachments[a.Name] == nil {
			for _, p := range e.pools {
				p.Release(a.Name)
			}
			e.macs.Release(a.Name)
		}
		e.refused[a.Name] = a.DeepCopy()
		if len(a.Spec.Ports) > 0 {
			b.wantPorts[a.Name] = e.refused[a.Name]
		}
		return nil, why
	}
	delete(e.refused, a.Name)
	delete(b.wantPorts, a.Name)
	grant.spec = a.Spec.DeepCopy()
	return grant, nil
}

// tryAttachment checks everything first and enters it only where nothing
// stands against it.
func (b *Book) tryAttachment(a *v1alpha1.Attachment, e *networkEntry) (*attachmentEntry, *Refusal) {
	old := b.attachments[a.Name]
	grant := &attachmentEntry{
		uid:     string(a.UID),
		network: a.Spec.Network,
		members: memberKeys(a),
		place:   interfacePlace(a),
		node:    b.nodeOf(a),
	}
	if why := b.claimPorts(a, e, grant); why != nil {
		return nil, why
	}
	for _, m := range grant.members {
		if holder, taken := e.members[m]; taken && holder != a.Name {
			return nil, &Refusal{v1alpha1.ReasonNameConflict, fmt.Sprintf(
				"spec.container: %s is attached to network %s by attachment %s already", m, a.Spec.Network, holder)}
		}
	}
	if holder, taken := b.interfaces[grant.place]; taken && grant.place != "" && holder != a.Name {
		return nil, &Refusal{v1alpha1.ReasonNameConflict, fmt.Sprintf(
			"spec.interface.name: %s is the interface of attachment %s; choose another name", grant.place, holder)}
	}
	mac, why := claimMAC(a, e, old)
	if why != nil {
		return nil, why
	}
	grant.mac = mac
	why = checkLinkLocals(a, e, grant)
	if why == nil {
		why = claimAddresses(a, e, old, grant)
	}
	if why != nil {
		if old != nil {
			_ = e.macs.Claim(a.Name, old.mac)
			restoreAddresses(a.Name, e, old)
		}
		return nil, why
	}
	grant.returns = returning(a, grant.addresses)
	if old != nil {
		b.unname(a.Name, old, e)
		if !old.sameClaims(grant) {
			b.wakeBehind(old, e)
		}
	}
	for _, m := range grant.members {
		e.members[m] = a.Name
	}
	e.enterLinkLocals(a.Name, grant)
	if grant.place != "" {
		b.interfaces[grant.place] = a.Name
	}
	b.publish(a.Name, grant)
	b.attachments[a.Name] = grant
	e.holders[a.Name] = grant
	return grant, nil
}

// sameClaims tells that one holds what the other does.
func (e *attachmentEntry) sameClaims(o *attachmentEntry) bool {
	return slices.Equal(e.addresses, o.addresses) && slices.Equal(e.linkLocals, o.linkLocals) &&
		bytes.Equal(e.mac, o.mac) && slices.Equal(e.members, o.members) && e.place == o.place && slices.Equal(e.ports, o.ports)
}

// wakeBehind wakes who may have waited for what an attachment held.
func (b *Book) wakeBehind(held *attachmentEntry, e *networkEntry) {
	b.wakeAttachments(b.alsoHold(held.linkLocals)...)
	b.wakeAttachments(b.wantPlace(held.place, e)...)
	if e != nil {
		b.wakeAttachments(slices.Collect(maps.Keys(e.refused))...)
	}
	if len(held.ports) > 0 {
		b.wakeAttachments(slices.Collect(maps.Keys(b.wantPorts))...)
	}
	if b.refused[held.network] != nil {
		b.wakeNetworks(held.network)
	}
}

// memberKeys are the names that are unique within a network.
func memberKeys(a *v1alpha1.Attachment) []string {
	var keys []string
	if id := a.Spec.Container.ID; id != "" {
		keys = append(keys, "container id "+id)
	}
	if name := a.Spec.Container.Name; name != "" {
		keys = append(keys, "container name "+name)
	}
	return keys
}

// interfacePlace says where an interface of the spec's name will be; no two
// can be at one place. Empty where the name is derived from the UID.
func interfacePlace(a *v1alpha1.Attachment) string {
	i := a.Spec.Interface
	switch {
	case i.Type == v1alpha1.InterfaceVeth:
		return innerName(a) + " in " + filepath.Clean(i.Netns)
	case i.Name != "":
		return i.Name + " on host " + a.Spec.Node
	}
	return ""
}

func claimMAC(a *v1alpha1.Attachment, e *networkEntry, old *attachmentEntry) (net.HardwareAddr, *Refusal) {
	if a.Spec.MAC == "" {
		if old != nil {
			return old.mac, nil
		}
		return e.macs.Allocate(a.Name, string(a.UID)), nil
	}
	mac, err := net.ParseMAC(a.Spec.MAC)
	if err == nil {
		err = e.macs.Claim(a.Name, mac)
	}
	if err != nil {
		return nil, &Refusal{v1alpha1.ReasonMACInUse, fmt.Sprintf("spec.mac: %v; choose another, or leave it out", err)}
	}
	return mac, nil
}

// restoreAttachment enters what a status says, before anything is granted. An
// address that somebody else has by then is granted anew later.
func (b *Book) restoreAttachment(object *v1alpha1.Attachment) {
	a := object.AsInForce()
	e := b.networks[a.Spec.Network]
	if e == nil || b.attachments[a.Name] != nil {
		return
	}
	entry := &attachmentEntry{
		uid:     string(a.UID),
		network: a.Spec.Network,
		members: memberKeys(a),
		place:   interfacePlace(a),
	}
	for _, s := range a.Status.Addresses {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			continue
		}
		if pool := e.poolOf(p.Addr()); pool != nil && pool.Restore(a.Name, p.Addr()) == nil {
			entry.addresses = append(entry.addresses, p)
			entry.gateways = append(entry.gateways, pool.Gateway())
		}
	}
	mac, err := net.ParseMAC(a.Status.MAC)
	if err != nil || e.macs.Claim(a.Name, mac) != nil {
		mac = e.macs.Allocate(a.Name, string(a.UID))
	}
	entry.mac, entry.returns = mac, returning(a, entry.addresses)
	restoreLinkLocals(a, e, entry)
	for _, m := range entry.members {
		if _, taken := e.members[m]; !taken {
			e.members[m] = a.Name
		}
	}
	if _, taken := b.interfaces[entry.place]; !taken && entry.place != "" {
		b.interfaces[entry.place] = a.Name
	}
	b.restorePorts(a, e, entry)
	if decided(object) {
		entry.spec = a.Spec.DeepCopy()
	}
	b.attachments[a.Name] = entry
	e.holders[a.Name] = entry
}

// ReleaseAttachment forgets an attachment that is gone.
func (b *Book) ReleaseAttachment(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.wantPorts, name)
	entry := b.attachments[name]
	if entry == nil {
		for _, e := range b.networks {
			delete(e.refused, name)
		}
		return
	}
	if e := b.networks[entry.network]; e != nil {
		delete(e.refused, name)
	}
	b.dropAttachment(name)
}

// wantPlace names the refused attachments of other networks than one that would
// have their interface at a place.
func (b *Book) wantPlace(place string, but *networkEntry) (out []string) {
	if place == "" {
		return nil
	}
	for _, e := range b.networks {
		if e == but {
			continue
		}
		for name, a := range e.refused {
			if interfacePlace(a) == place {
				out = append(out, name)
			}
		}
	}
	return out
}

func (b *Book) dropAttachment(name string) {
	entry := b.attachments[name]
	if entry == nil {
		return
	}
	delete(b.attachments, name)
	e := b.networks[entry.network]
	b.unname(name, entry, e)
	b.wakeBehind(entry, e)
	if e == nil {
		return
	}
	delete(e.holders, name)
	e.leave(entry)
	e.macs.Release(name)
	for _, p := range e.pools {
		p.Release(name)
	}
}

// unname gives names back.
func (b *Book) unname(attachment string, entry *attachmentEntry, e *networkEntry) {
	if entry.place != "" && b.interfaces[entry.place] == attachment {
		delete(b.interfaces, entry.place)
	}
	b.unpublish(attachment, entry)
	if e == nil {
		return
	}
	for _, m := range entry.members {
		if e.members[m] == attachment {
			delete(e.members, m)
		}
	}
	e.leaveLinkLocals(attachment, entry)
}
