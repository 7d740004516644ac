// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"sync"
)

// Reason says what an Event is about.
type Reason string

// The reasons of events. Those with "All" concern every port.
const (
	OVNInstalled   Reason = "OVNInstalled"   // ovn-controller set or removed ovn-installed
	PortStatus     Reason = "PortStatus"     // ovs-vswitchd set ofport or error
	RowChanged     Reason = "RowChanged"     // somebody else changed or removed our OVS rows
	LinkChanged    Reason = "LinkChanged"    // somebody else changed our link of the host
	LinkVanished   Reason = "LinkVanished"   // a link of ours is gone
	LinkAppeared   Reason = "LinkAppeared"   // the link of an External or Internal port is there (again)
	InnerChanged   Reason = "InnerChanged"   // an address, route or rule within the namespace went, or another port came or went there
	NetnsAppeared  Reason = "NetnsAppeared"  // a missing namespace is there (again)
	NetnsVanished  Reason = "NetnsVanished"  // the namespace's path is gone
	NetnsReplaced  Reason = "NetnsReplaced"  // the path is another namespace now
	Connected      Reason = "Connected"      // All: the database is connected (again)
	Wiped          Reason = "Wiped"          // All: connected, and it is another database than before
	BridgeRepaired Reason = "BridgeRepaired" // All: the bridge was missing or changed
	OffloadChanged Reason = "OffloadChanged" // All: ovs-vswitchd runs with another offload setting
	ChassisRenamed Reason = "ChassisRenamed" // All: OVN has another name for this host
	LinksLost      Reason = "LinksLost"      // All: link events were lost
	Periodic       Reason = "Periodic"       // All: the periodic resync
)

// Event tells that a port, or with All every port, should be looked at again by
// calling Update. It is a hint: the same Update may follow several events.
type Event struct {
	Owner  Owner
	All    bool
	Reason Reason
}

// eventQueue hands events to the subscribers from one goroutine. Equal events
// that were not handed out yet are one, so a slow subscriber costs no memory.
type eventQueue struct {
	mu      sync.Mutex
	subs    []func(Event)
	pending map[Event]struct{}
	order   []Event
	wake    chan struct{}
}

func newEventQueue() *eventQueue {
	return &eventQueue{pending: map[Event]struct{}{}, wake: make(chan struct{}, 1)}
}

func (q *eventQueue) subscribe(fn func(Event)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.subs = append(q.subs, fn)
}

func (q *eventQueue) emit(ev Event) {
	q.mu.Lock()
	if _, dup := q.pending[ev]; !dup {
		q.pending[ev] = struct{}{}
		q.order = append(q.order, ev)
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *eventQueue) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		}
		q.mu.Lock()
		batch, subs := q.order, q.subs
		q.order = nil
		clear(q.pending)
		q.mu.Unlock()
		for _, ev := range batch {
			for _, fn := range subs {
				fn(ev)
			}
		}
	}
}

// Subscribe has fn called for every event, one at a time. It must not block:
// it should only put the owner in a work queue. Subscribe before Run.
func (m *Manager) Subscribe(fn func(Event)) { m.events.subscribe(fn) }
