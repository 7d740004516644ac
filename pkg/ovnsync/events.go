// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnsync

import (
	"fmt"
	"hash/fnv"
	"reflect"
	"slices"
	"sync"

	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/vas-solutus/arca-network/internal/ovsdbconn"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
)

// echoes tells the changes of others from our own: it knows what our rows
// should hold, by a hash, and which we are removing. It is fed by the cache.
type echoes struct {
	session *session
	emit    func(Event)

	mu       sync.Mutex
	expected map[string]expectation // by UUID
	removing map[string]bool        // UUID, or UUID and value of a set
}

type expectation struct {
	owner      Owner
	hash       uint64
	columns    []string
	references []string
	keys       []string
}

func newEchoes(s *session, emit func(Event)) *echoes {
	return &echoes{session: s, emit: emit, expected: map[string]expectation{}, removing: map[string]bool{}}
}

// expect announces a plan before it is sent.
func (e *echoes) expect(p *plan) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range p.settled {
		if r.uuid != "" {
			e.expected[r.uuid] = expectationOf(r)
		}
	}
	for _, r := range p.removed {
		e.removing[r] = true
	}
}

// committed learns the UUIDs of what a plan inserted.
func (e *echoes) committed(p *plan, results []ovsdb.OperationResult) {
	for uuid, op := range p.deleted {
		e.session.spend(p.ops[op].Table, uuid)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range p.settled {
		if r.uuid == "" && r.op < len(results) {
			e.expected[results[r.op].UUID.GoUUID] = expectationOf(r)
		}
	}
}

// failed takes an announcement back.
func (e *echoes) failed(p *plan) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range p.removed {
		delete(e.removing, r)
	}
}

func expectationOf(r settled) expectation {
	keys := make([]string, 0, len(r.ids))
	for k := range r.ids {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	x := expectation{owner: ownerIn(r.ids), columns: r.row.Columns, keys: keys}
	for _, ref := range r.row.References {
		x.references = append(x.references, ref.Column)
	}
	x.hash = x.of(r.row.Model, r.ids, func(c string) string { return r.refs[c] })
	return x
}

// is tells whether a row holds what it should in the columns and keys that are ours.
func (x expectation) is(e existing) bool { return x.hash == x.of(e.model, e.ids(), e.reference) }

// of hashes what a row holds in them.
func (x expectation) of(m model.Model, ids map[string]string, reference func(column string) string) uint64 {
	h := fnv.New64a()
	for _, c := range x.columns {
		v := ovsdbconn.Column(m, c)
		if v = reflect.Indirect(v); !v.IsValid() {
			continue // no such column, or an optional value that is not set
		}
		value := v.Interface()
		if set, ok := value.([]string); ok {
			value = slices.Sorted(slices.Values(set))
		}
		fmt.Fprintf(h, "%s=%v\n", c, value) // maps are printed in order
	}
	for _, c := range x.references {
		fmt.Fprintf(h, "%s=%s\n", c, reference(c))
	}
	for _, k := range x.keys {
		fmt.Fprintf(h, "%s=%s\n", k, ids[k])
	}
	return h.Sum64()
}

// OnAdd: rows of ours are added by us alone.
func (e *echoes) OnAdd(string, model.Model) {}

// OnDelete reports a row of ours that somebody else has deleted.
func (e *echoes) OnDelete(table string, m model.Model) {
	row := existing{table: table, uuid: ovsdbconn.Column(m, "_uuid").String(), model: m}
	if row.owner().UID != "" {
		e.session.spend(table, row.uuid)
	}
	e.mu.Lock()
	ours := e.removing[row.uuid]
	delete(e.removing, row.uuid)
	delete(e.expected, row.uuid)
	e.mu.Unlock()
	if owner := row.owner(); owner.UID != "" && !ours {
		e.emit(Event{Owner: owner, Reason: "a row of " + table + " was deleted"})
	}
}

// OnUpdate reports a port that came up or went down, a row of ours that
// somebody else has changed, and a value that was taken out of a set.
func (e *echoes) OnUpdate(table string, before, now model.Model) {
	if table == nbdb.NBGlobalTable {
		e.session.marks.moved()
		return
	}
	row := existing{table: table, uuid: ovsdbconn.Column(now, "_uuid").String(), model: now}
	old := existing{table: table, uuid: row.uuid, model: before}
	e.mu.Lock()
	want, known := e.expected[row.uuid]
	e.mu.Unlock()
	owner := old.owner()
	if known {
		owner = want.owner // the keys themselves may have been changed
	}
	if owner.UID == "" {
		return
	}
	if table == nbdb.LogicalSwitchPortTable && !same(ovsdbconn.Column(before, "up"), ovsdbconn.Column(now, "up")) {
		e.emit(Event{Owner: owner, Reason: "up has changed"})
	}
	if known && !want.is(row) {
		e.emit(Event{Owner: owner, Reason: "a row of " + table + " was changed"})
	}
	for _, set := range []string{"ports", "policies", "static_routes", "acls", "load_balancer", "gateway_chassis", "bands", "addresses"} {
		e.losses(old.set(set), row, set)
	}
}

// losses reports values of a set that somebody else has taken out.
func (e *echoes) losses(before []string, row existing, set string) {
	if len(before) == 0 {
		return
	}
	now := map[string]bool{}
	for _, v := range row.set(set) {
		now[v] = true
	}
	for _, v := range before {
		if now[v] {
			continue
		}
		if set == "addresses" {
			if row.table != nbdb.AddressSetTable {
				continue
			}
			e.mu.Lock()
			ours := e.removing[row.uuid+"\x00"+v]
			delete(e.removing, row.uuid+"\x00"+v)
			e.mu.Unlock()
			if !ours {
				e.emit(Event{All: true, Reason: "a value of " + row.table + " was removed"})
			}
			continue
		}
		if member, ok := e.session.view().at(v); ok && member.owner().UID != "" {
			e.emit(Event{Owner: member.owner(), Reason: "a row was taken out of " + row.table})
		}
	}
}
