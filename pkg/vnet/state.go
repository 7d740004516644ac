// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"reflect"
	"strings"
)

// State is what is known about a port from the database and the host.
type State struct {
	// Plugged says that the OVS rows are there.
	Plugged bool
	// OVNInstalled says that ovn-controller has programmed the port's flows
	// (external_ids:ovn-installed).
	OVNInstalled bool
	// OFPort is the OpenFlow port number, 0 until ovs-vswitchd gave one.
	OFPort int
	// Error is what ovs-vswitchd says it cannot do.
	Error string
	// NetnsPresent says that the namespace of a Veth is there. True for others.
	NetnsPresent bool
}

// noDevice is how ovs-vswitchd ends its message about a device that is not there
// (strerror of ENODEV).
const noDevice = "(No such device)"

// stateOf reads rows. Rows that are there early have ovs-vswitchd look for a device that
// is being made: it looks again as soon as that is there.
func stateOf(r rows, netnsPresent, early bool) State {
	st := State{Plugged: r.complete(), NetnsPresent: netnsPresent}
	if r.iface == nil {
		return st
	}
	st.OVNInstalled = r.iface.ExternalIDs[keyOVNInstalled] == "true"
	if r.iface.Ofport != nil && *r.iface.Ofport > 0 {
		st.OFPort = *r.iface.Ofport
	}
	// With a number the port works. ovs-vswitchd may leave its message of the round before
	// there for seconds: it does not write what it takes for the column's value, which is
	// that from before a transaction that is still on its way (seen on 3.5.0).
	if r.iface.Error != nil && st.OFPort == 0 && !(early && strings.HasSuffix(*r.iface.Error, noDevice)) {
		st.Error = *r.iface.Error
	}
	return st
}

// Settled returns the State of a port that Update has made just so, while no Event
// has told of it since but of what OVN and ovs-vswitchd have written: an Update would
// find nothing to do. False where it has to be asked.
func (m *Manager) Settled(p Port) (State, bool) {
	s, done, err := m.use()
	if err != nil {
		return State{}, false
	}
	defer done()
	m.mu.Lock()
	e := m.entries[p.Owner.UID]
	if e == nil || !e.settled() || !reflect.DeepEqual(e.port, p) {
		m.mu.Unlock()
		return State{}, false
	}
	want := e.plugged()
	m.mu.Unlock()
	r, err := s.find(p.Name)
	if err != nil || !r.complete() || !diffRows(want, r).empty() {
		return State{}, false
	}
	return stateOf(r, true, want.early), true
}

// State returns what is known of the owner's port; false if Update was not called
// for it. While not connected it is ErrNotConnected: nothing is answered from
// what may be stale.
func (m *Manager) State(uid string) (State, bool, error) {
	s, done, err := m.use()
	if err != nil {
		return State{}, false, err
	}
	defer done()
	m.mu.Lock()
	e := m.entries[uid]
	if e == nil || !e.wanted {
		m.mu.Unlock()
		return State{}, false, nil
	}
	p := e.plugged()
	m.mu.Unlock()
	r, err := s.find(p.Name)
	if err != nil {
		return State{}, false, err
	}
	if !r.ownedBy(uid) {
		r = rows{}
	}
	return stateOf(r, p.Type != Veth || m.netns.present(p.Netns), p.early), true, nil
}
