// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vas-solutus/arca-network/pkg/vnet/ovsdb"
)

// What is seen to change becomes Events here. Our own changes come back too: an
// event is told only where something then differs from what is wanted, and what
// an event carries is only a hint to look, since it may be old.

// rowEvents takes events of the database. They must be handled quickly: libovsdb
// drops events when 65536 wait.
type rowEvents struct{ m *Manager }

func (h rowEvents) OnAdd(table string, row model.Model) { h.onRow(table, nil, row) }

func (h rowEvents) OnUpdate(table string, old, row model.Model) { h.onRow(table, old, row) }

func (h rowEvents) OnDelete(table string, row model.Model) { h.onRow(table, row, nil) }

func (h rowEvents) onRow(table string, old, row model.Model) {
	m := h.m
	switch table {
	case ovsdb.InterfaceTable:
		o, _ := old.(*ovsdb.Interface)
		n, _ := row.(*ovsdb.Interface)
		m.onInterface(o, n)
	case ovsdb.PortTable:
		for _, r := range []model.Model{old, row} {
			if p, ok := r.(*ovsdb.Port); ok {
				m.suspect(p.Name, p.ExternalIDs)
				if p.Name == m.o.Bridge {
					m.suspectBridge()
				}
			}
		}
	case ovsdb.BridgeTable, ovsdb.FlowTableTable, ovsdb.MirrorTable, ovsdb.OpenvSwitchTable:
		// Only these columns bear on the bridge; cur_cfg changes all the time.
		if o, ok := old.(*ovsdb.OpenvSwitch); ok && row != nil {
			n := row.(*ovsdb.OpenvSwitch)
			if o.ExternalIDs[keyEpoch] == n.ExternalIDs[keyEpoch] && o.ExternalIDs[keyChassis] == n.ExternalIDs[keyChassis] && len(o.DatapathTypes) == len(n.DatapathTypes) && equalPtr(o.OVSVersion, n.OVSVersion) {
				return
			}
		}
		m.suspectBridge()
	}
}

// suspectBridge has the bridge looked at again. A new session looks anyway.
func (m *Manager) suspectBridge() {
	m.mu.Lock()
	s := m.session
	m.mu.Unlock()
	if s != nil {
		s.kickBridge()
	}
}

func (m *Manager) onInterface(old, row *ovsdb.Interface) {
	if row != nil {
		was := ovsdb.Interface{}
		if old != nil {
			was = *old
		}
		if owner, wanted := m.wantedBy(row.Name); wanted {
			if was.ExternalIDs[keyOVNInstalled] != row.ExternalIDs[keyOVNInstalled] {
				m.tell(owner, OVNInstalled)
			}
			if !equalPtr(was.Ofport, row.Ofport) || !equalPtr(was.Error, row.Error) {
				m.tell(owner, PortStatus)
			}
		}
		m.suspect(row.Name, row.ExternalIDs)
	}
	if old != nil && (row == nil || old.Name != row.Name) {
		m.suspect(old.Name, old.ExternalIDs)
	}
}

// wantedBy is the owner that wants an interface of that name.
func (m *Manager) wantedBy(name string) (Owner, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	uid, ok := m.byName[name]
	if !ok {
		return Owner{}, false
	}
	return m.entries[uid].port.Owner, true
}

// suspect looks at the rows of whoever wants the name or is marked as the owner.
func (m *Manager) suspect(name string, ids map[string]string) {
	m.mu.Lock()
	byName, wanted := m.byName[name]
	m.mu.Unlock()
	if wanted {
		m.verifyRows(byName)
	}
	if uid := ids[keyOwnerUID]; uid != "" && uid != byName {
		m.verifyRows(uid)
	}
}

// verifyRows tells if the owner's rows are not as they are wanted now.
func (m *Manager) verifyRows(uid string) {
	m.mu.Lock()
	e, s := m.entries[uid], m.session
	if e == nil || !e.wanted || s == nil {
		m.mu.Unlock()
		return // a new session means an event for all
	}
	if e.busy > 0 {
		e.recheck = true
		m.mu.Unlock()
		return
	}
	want, ok := e.plugged(), e.ok
	m.mu.Unlock()
	r, err := s.find(want.Name)
	if err != nil {
		return
	}
	// After a failed Update anything may be what it waits for.
	if !ok || !r.complete() || !diffRows(want, r).empty() {
		m.tell(want.Owner, RowChanged)
	}
}

// onLink takes an event of a link of the host.
func (m *Manager) onLink(ev linkEvent) {
	a := ev.link.Attrs()
	if a.Name == m.o.Bridge && !ev.gone {
		m.onBridgeLink()
	}
	if o, ours := parseLinkAlias(a.Alias); ours {
		m.verifyLink(o.UID)
	}
	m.mu.Lock()
	uid, wanted := m.byName[a.Name]
	m.mu.Unlock()
	if wanted {
		m.verifyLink(uid)
	}
}

// onBridgeLink: ovs-vswitchd (re)started, which shows as a change of the
// bridge's device. It may run with another TSO setting now.
func (m *Manager) onBridgeLink() {
	on, err := m.readTSO()
	if err != nil {
		return // the next event, or the next session
	}
	m.mu.Lock()
	changed := m.info.Connected && m.info.TSO != on
	if changed {
		m.info.TSO = on
	}
	m.mu.Unlock()
	if changed {
		m.log.Info("ovs-vswitchd changed userspace TSO", "tso", on)
		m.tellAll(OffloadChanged)
	}
}

// verifyLink tells if the owner's link of the host is not as it is wanted now.
func (m *Manager) verifyLink(uid string) {
	m.mu.Lock()
	e := m.entries[uid]
	if e == nil || !e.wanted {
		m.mu.Unlock()
		return
	}
	if e.busy > 0 {
		e.recheckLink = true
		m.mu.Unlock()
		return
	}
	want, ok := e.plugged(), e.ok
	m.mu.Unlock()
	var l netlink.Link
	err := m.withHost(func(c *conn) error {
		var err error
		l, err = c.link(want.Name)
		return err
	})
	if err != nil {
		return
	}
	if reason := judgeLink(want, ok, l); reason != "" {
		m.tell(want.Owner, reason)
	}
}

// judgeLink says what is wrong with a port's link, nil for none; nothing if it
// is as it should be.
func judgeLink(want plugged, ok bool, l netlink.Link) Reason {
	switch {
	case l == nil && want.Type == External && !ok:
		return "" // known
	case l == nil:
		return LinkVanished
	case l.Attrs().Index != want.ifindex:
		if want.Type == External || want.Type == Internal {
			return LinkAppeared
		}
		return LinkChanged
	case !ok:
		return LinkChanged
	case want.Type == External:
		return "" // not ours to judge
	}
	set := linkSet{up: true, alias: linkAlias(want.Owner), mtu: want.MTU}
	if want.Type == Internal {
		set.mac = want.MAC
	}
	if !drift(l, set).empty() {
		return LinkChanged
	}
	if want.Type == Veth && l.Attrs().RawFlags&unix.IFF_LOWER_UP == 0 {
		return LinkChanged // the inner end was taken down
	}
	return ""
}

// onInner takes a change within a namespace: of a link, or of all of ours in it
// where link is 0. One that comes concerns the others there.
func (m *Manager) onInner(nsid, link int, sibling bool) {
	m.mu.Lock()
	var owners []Owner
	for uid := range m.byNsid[nsid] {
		e := m.entries[uid]
		if e == nil || !e.wanted || link != 0 && (e.inside.link == link) == sibling {
			continue
		}
		if e.busy > 0 {
			e.recheckInner = true
			continue
		}
		owners = append(owners, e.port.Owner)
	}
	m.mu.Unlock()
	for _, o := range owners {
		m.tell(o, InnerChanged)
	}
}

// onNetns takes a change of what is at a namespace's path.
func (m *Manager) onNetns(path string, reason Reason) {
	m.mu.Lock()
	var owners []Owner
	for uid := range m.byPath[path] {
		owners = append(owners, m.entries[uid].port.Owner)
	}
	m.mu.Unlock()
	for _, o := range owners {
		m.tell(o, reason)
	}
}
