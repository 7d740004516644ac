// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ipam

import "net/netip"

// queue holds addresses in the order in which they came, and gives up any of
// them at once. A removed address stays in the order as a stale entry until it
// is passed or swept.
type queue struct {
	order []entry
	live  map[netip.Addr]uint64
	seq   uint64
}

type entry struct {
	addr netip.Addr
	seq  uint64
}

func (q *queue) len() int { return len(q.live) }

func (q *queue) has(a netip.Addr) bool {
	_, ok := q.live[a]
	return ok
}

func (q *queue) push(a netip.Addr) {
	if q.live == nil {
		q.live = map[netip.Addr]uint64{}
	}
	q.seq++
	q.live[a] = q.seq
	q.order = append(q.order, entry{a, q.seq})
	if len(q.order) > 2*len(q.live)+64 {
		q.sweep()
	}
}

func (q *queue) remove(a netip.Addr) { delete(q.live, a) }

func (q *queue) pop() (netip.Addr, bool) {
	for len(q.order) > 0 {
		e := q.order[0]
		q.order = q.order[1:]
		if q.live[e.addr] == e.seq {
			delete(q.live, e.addr)
			return e.addr, true
		}
	}
	q.order = nil
	return netip.Addr{}, false
}

// sweep drops stale entries, and the memory in front of the first.
func (q *queue) sweep() {
	kept := make([]entry, 0, len(q.live)+64)
	for _, e := range q.order {
		if q.live[e.addr] == e.seq {
			kept = append(kept, e)
		}
	}
	q.order = kept
}
