// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"maps"
	"slices"

	"github.com/vas-solutus/arca-network/pkg/vnet/ovsdb"
)

// plugged is a port with what is known once its device exists: everything that
// the OVS rows are made from.
type plugged struct {
	Port
	// ifindex of the device in the host's namespace.
	ifindex int
	// early says that the rows are to be there before the device.
	early bool
	// txOff says that the inner end's transmit offload was turned off.
	txOff bool
	// marked says that the device was found there with our mark on it.
	marked bool
}

// rows are the Port and Interface rows of one name; either may be missing.
type rows struct {
	port  *ovsdb.Port
	iface *ovsdb.Interface
}

// complete says whether the rows belong together.
func (r rows) complete() bool {
	return r.port != nil && r.iface != nil && len(r.port.Interfaces) == 1 && r.port.Interfaces[0] == r.iface.UUID
}

// ownedBy says whether either row carries the owner's mark.
func (r rows) ownedBy(uid string) bool {
	return (r.port != nil && r.port.ExternalIDs[keyOwnerUID] == uid) ||
		(r.iface != nil && r.iface.ExternalIDs[keyOwnerUID] == uid)
}

// holder describes the rows' owner for people.
func (r rows) holder() string {
	for _, ids := range []map[string]string{r.portIDs(), r.ifaceIDs()} {
		if o := ownerOfIDs(ids); o.UID != "" {
			return "the OVS port of " + o.Kind + " " + o.Name + " (" + o.UID + ")"
		}
	}
	return "an OVS port without our owner mark"
}

func (r rows) portIDs() map[string]string {
	if r.port == nil {
		return nil
	}
	return r.port.ExternalIDs
}

func (r rows) ifaceIDs() map[string]string {
	if r.iface == nil {
		return nil
	}
	return r.iface.ExternalIDs
}

func (p plugged) ifaceType() string {
	if p.Type == Internal {
		return "internal"
	}
	return "" // a network device of the system
}

// portIDs are the external_ids that the Port row must have.
func (p plugged) portIDs() map[string]string {
	return map[string]string{
		keyOwnerKind: p.Owner.Kind,
		keyOwnerName: p.Owner.Name,
		keyOwnerUID:  p.Owner.UID,
	}
}

// ifaceIDs are the external_ids that the Interface row must have; those with an
// empty value must not be there.
func (p plugged) ifaceIDs() map[string]string {
	ids := p.portIDs()
	ids[keyIfaceID] = p.IfaceID
	ids[keyAttachedMAC] = p.MAC.String()
	ids[keyIfindex] = ""
	if p.Type != Internal && p.ifindex != 0 { // ovs-vswitchd makes an internal one itself
		ids[keyIfindex] = itoa(p.ifindex)
	}
	ids[keyTxOffload] = ""
	if p.txOff {
		ids[keyTxOffload] = "off"
	}
	return ids
}

// ifaceMAC and ifaceMTU are columns for ovs-vswitchd, which owns the devices of
// internal ports only.
func (p plugged) ifaceMAC() *string {
	if p.Type != Internal || len(p.MAC) == 0 {
		return nil
	}
	s := p.MAC.String()
	return &s
}

func (p plugged) ifaceMTU() *int {
	if p.Type != Internal || p.MTU == 0 {
		return nil
	}
	return &p.MTU
}

// rowDiff is what must change in existing rows.
type rowDiff struct {
	portIDs, ifaceIDs       idDiff
	vlan                    bool // tag, trunks, vlan_mode: OVN's bridge has none
	ifaceType               bool
	ifaceMAC, ifaceMTU      bool
	portColumns, ifaceWants bool
}

// idDiff is a change of external_ids or of a map like it.
type idDiff struct {
	del []string
	ins map[string]string
}

func (d idDiff) empty() bool { return len(d.del) == 0 }

func (d rowDiff) empty() bool { return !d.portColumns && !d.ifaceWants }

// diffRows compares complete rows with what the port wants. It looks at the
// columns and keys of this package only.
func diffRows(want plugged, have rows) rowDiff {
	d := rowDiff{
		portIDs:   diffIDs(want.portIDs(), have.port.ExternalIDs),
		ifaceIDs:  diffIDs(want.ifaceIDs(), have.iface.ExternalIDs),
		vlan:      have.port.Tag != nil || have.port.VLANMode != nil || len(have.port.Trunks) != 0,
		ifaceType: have.iface.Type != want.ifaceType(),
		ifaceMAC:  !equalPtr(have.iface.MAC, want.ifaceMAC()),
		ifaceMTU:  !equalPtr(have.iface.MTURequest, want.ifaceMTU()),
	}
	d.portColumns = d.vlan || !d.portIDs.empty()
	d.ifaceWants = d.ifaceType || d.ifaceMAC || d.ifaceMTU || !d.ifaceIDs.empty()
	return d
}

func diffIDs(want, have map[string]string) idDiff {
	var d idDiff
	for _, k := range slices.Sorted(maps.Keys(want)) {
		v := want[k]
		old, there := have[k]
		if old == v && there == (v != "") {
			continue
		}
		// A map's key is changed by taking it out and putting it in.
		d.del = append(d.del, k)
		if v != "" {
			if d.ins == nil {
				d.ins = map[string]string{}
			}
			d.ins[k] = v
		}
	}
	return d
}

// needsReplug says that the rows were made for another device than the present
// one while ovs-vswitchd still holds that one. Where it already reports that it
// has none, it picks the new one up by itself.
func needsReplug(want plugged, have rows) bool {
	if have.iface.Type != want.ifaceType() {
		return true
	}
	was := have.iface.ExternalIDs[keyIfindex]
	if want.Type == Internal || want.ifindex == 0 || was == "" || was == itoa(want.ifindex) {
		return false
	}
	return have.iface.Ofport != nil && *have.iface.Ofport > 0
}

func equalPtr[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
