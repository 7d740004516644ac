// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"net/netip"
	"sync"
	"time"
)

// entry is what the Manager knows about one owner's port. Its fields are guarded
// by Manager.mu; op serialises operations on it.
type entry struct {
	op sync.Mutex
	// refs counts operations that hold or wait for op.
	refs int
	// wanted says that port is desired: Update was called, and no Delete since.
	wanted bool
	port   Port
	// busy operations change things: events about them are put off to the end.
	busy int
	// recheck, recheckLink and recheckInner are such put-off events.
	recheck, recheckLink, recheckInner bool
	// told says that an Event has told of the port since the last operation began, but
	// of what OVN and ovs-vswitchd write.
	told bool
	// ok says that the last Update succeeded, with these results.
	ok      bool
	ifindex int
	txOff   bool
	applied []netip.Prefix
	// early says that it had put in the rows before there was a device.
	early bool
	// ifaceUUID is the Interface row's: it is known again when its marks are wiped.
	ifaceUUID string
	// inside is where the inner end of a Veth is: innerWatch tells of it.
	inside innerEnd
	// watched is the namespace path that is watched for it.
	watched string
}

// settled says that an Update would find nothing to do for the port that it was called
// with. What is told while it is at work may be what it has read before.
func (e *entry) settled() bool { return e.ok && !e.told && e.busy == 0 }

func (e *entry) plugged() plugged {
	return plugged{Port: e.port, ifindex: e.ifindex, early: e.early, txOff: e.txOff}
}

// begin starts an operation on the owner's port. want is nil for a deletion.
func (m *Manager) begin(uid string, want *Port) *entry {
	m.mu.Lock()
	e := m.entries[uid]
	if e == nil {
		e = &entry{}
		m.entries[uid] = e
	}
	e.refs++
	m.mu.Unlock()
	e.op.Lock()

	m.mu.Lock()
	defer m.mu.Unlock()
	e.busy++
	m.busy++
	e.told, e.early = false, false
	if e.port.Name != "" && m.byName[e.port.Name] == uid {
		delete(m.byName, e.port.Name)
	}
	if e.wanted = want != nil; e.wanted {
		e.port = *want
		m.byName[e.port.Name] = uid
	}
	m.watchPath(uid, e)
	return e
}

// end finishes an operation and hands out the events that came meanwhile.
func (m *Manager) end(uid string, e *entry) {
	m.mu.Lock()
	e.busy--
	m.busy--
	recheck, recheckLink, recheckInner := e.recheck, e.recheckLink, e.recheckInner && e.wanted
	e.recheck, e.recheckLink, e.recheckInner = false, false, false
	if e.refs--; e.refs == 0 && !e.wanted {
		delete(m.entries, uid)
		m.settle(uid, e, innerEnd{})
	}
	owner := e.port.Owner
	m.mu.Unlock()
	e.op.Unlock()
	if recheck {
		m.verifyRows(uid)
	}
	if recheckLink {
		m.verifyLink(uid)
	}
	if recheckInner {
		m.tell(owner, InnerChanged)
	}
}

// innerEnd is a link in a namespace, which has an id in the host's.
type innerEnd struct {
	netns      netnsID
	nsid, link int
}

// settle notes where the inner end is. Called with mu held.
func (m *Manager) settle(uid string, e *entry, at innerEnd) {
	if e.inside == at {
		return
	}
	if delete(m.byNsid[e.inside.nsid], uid); len(m.byNsid[e.inside.nsid]) == 0 {
		delete(m.byNsid, e.inside.nsid)
	}
	if e.inside = at; at.link == 0 {
		return
	}
	if m.byNsid[at.nsid] == nil {
		m.byNsid[at.nsid] = map[string]struct{}{}
	}
	m.byNsid[at.nsid][uid] = struct{}{}
}

// watchPath makes the watched path that of the wanted port. Called with mu held.
func (m *Manager) watchPath(uid string, e *entry) {
	path := ""
	if e.wanted && e.port.Type == Veth {
		path = e.port.Netns
	}
	if path == e.watched {
		return
	}
	if e.watched != "" {
		if delete(m.byPath[e.watched], uid); len(m.byPath[e.watched]) == 0 {
			delete(m.byPath, e.watched)
		}
		m.netns.remove(e.watched)
		e.watched = ""
	}
	if path == "" || m.netns == nil {
		return
	}
	if m.byPath[path] == nil {
		m.byPath[path] = map[string]struct{}{}
	}
	m.byPath[path][uid] = struct{}{}
	e.watched = path
	m.netns.add(path)
}

// removedFor is how long a removed OVS port is remembered: far longer than
// ovs-vswitchd takes to see a change, or it does not run and starts afresh.
const removedFor = time.Minute

func (m *Manager) noteRemoved(names ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for _, n := range names {
		m.removed[n] = now
	}
	if len(m.removed) > 1024 {
		for n, at := range m.removed {
			if now.Sub(at) > removedFor {
				delete(m.removed, n)
			}
		}
	}
}

// takeRemoved says whether the name's port was removed a moment ago, and forgets it.
func (m *Manager) takeRemoved(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, there := m.removed[name]
	delete(m.removed, name)
	return there && time.Since(at) < removedFor
}
