// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"fmt"
	"slices"

	libovsdb "github.com/ovn-kubernetes/libovsdb/ovsdb"
)

// plug makes the OVS rows of a port, and tells whether it had to change any.
func (m *Manager) plug(ctx context.Context, s *session, w plugged) (changed bool, err error) {
	for range 3 {
		did, again, err := m.plugOnce(ctx, s, w)
		changed = changed || did
		if err != nil || !again {
			return changed, err
		}
	}
	return changed, fmt.Errorf("OVS port %s: %w", w.Name, errUnsettled)
}

func (m *Manager) plugOnce(ctx context.Context, s *session, w plugged) (changed, again bool, err error) {
	stale, err := s.ownedNames(w.Owner.UID)
	if err != nil {
		return false, false, err
	}
	for name := range stale { // the port had another name
		if name != w.Name {
			if err := m.unplug(ctx, s, name); err != nil {
				return false, false, err
			}
			changed = true
		}
	}
	r, err := s.find(w.Name)
	if err != nil {
		return changed, false, err
	}
	if r.port == nil && r.iface == nil {
		return true, false, m.insert(ctx, s, w)
	}
	if !m.ownRows(r, w) {
		return changed, false, &ConflictError{Name: w.Name, Holder: r.holder()}
	}
	if !r.complete() || needsReplug(w, r) {
		return true, true, m.unplug(ctx, s, w.Name)
	}
	d := diffRows(w, r)
	if d.empty() {
		return changed, false, nil
	}
	_, err = s.commit(ctx, updateRows(w, r, d))
	return true, false, err
}

// insert makes the rows of a port that has none.
func (m *Manager) insert(ctx context.Context, s *session, w plugged) error {
	if err := m.vacate(ctx, s, w.Name); err != nil {
		return err
	}
	b, err := s.bridgeRow()
	if err != nil {
		return err
	}
	if b == nil {
		s.kickBridge()
		return fmt.Errorf("bridge %s is missing; it is being made", m.o.Bridge)
	}
	res, err := s.commit(ctx, insertPort(b.UUID, w))
	if err == nil && res[len(res)-1].Count == 0 {
		err = fmt.Errorf("bridge %s went away", m.o.Bridge)
	}
	return err
}

// vacate has ovs-vswitchd let go of the device that has had a name, before another
// one gets it. It remembers a device's flags, and when it puts a port in or takes
// one out it writes all of them, by name: a new device that has the name by then
// goes down for good.
func (m *Manager) vacate(ctx context.Context, s *session, name string) error {
	r, err := s.find(name)
	if err != nil {
		return err
	}
	if r.port != nil {
		if err := m.unplug(ctx, s, name); err != nil {
			return err
		}
	}
	if !m.takeRemoved(name) {
		return nil
	}
	if err := s.barrier(ctx); err != nil {
		m.noteRemoved(name)
		return err
	}
	return nil
}

// checkRows reports a conflict before anything is made.
func (m *Manager) checkRows(s *session, w plugged) error {
	r, err := s.find(w.Name)
	if err != nil || (r.port == nil && r.iface == nil) || m.ownRows(r, w) {
		return err
	}
	return &ConflictError{Name: w.Name, Holder: r.holder()}
}

// ownRows says whether existing rows are the port's. Rows whose marks were wiped
// by hand are still ours when the device in them is, or when this process made
// them.
func (m *Manager) ownRows(r rows, w plugged) bool {
	if r.ownedBy(w.Owner.UID) {
		return true
	}
	unmarked := ownerOfIDs(r.portIDs()).UID == "" && ownerOfIDs(r.ifaceIDs()).UID == ""
	if !unmarked || r.port == nil {
		return false
	}
	if w.marked {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[w.Owner.UID]
	return e != nil && e.ifaceUUID != "" && slices.Contains(r.port.Interfaces, e.ifaceUUID)
}

// unplug takes the port of that name out of its bridge.
func (m *Manager) unplug(ctx context.Context, s *session, name string) error {
	r, err := s.find(name)
	if err != nil {
		return err
	}
	if r.port == nil {
		if r.iface != nil {
			return &ConflictError{Name: name, Holder: "an interface of another OVS port"}
		}
		return nil
	}
	m.noteRemoved(name)
	_, err = s.commit(ctx, []libovsdb.Operation{removePort(r.port.UUID)})
	return err
}
