// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnsync

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/vas-solutus/arca-network/internal/ovsdbconn"
)

// join puts a member's value into its set, where it is not there yet. self is
// what the declaring row is called.
func (p *plan) join(m Member, self string, look bool) error {
	value, isReference := m.Value, m.Value == ""
	if isReference {
		value = self
	}
	var parent string
	if made, ok := p.pending[m.Table+"\x00"+m.ID]; ok {
		if made.op >= p.first {
			// As part of the insertion: a set may have to have a member from the start.
			into := p.ops[made.op].Row
			set, _ := into[m.Column].(ovsdb.OvsSet)
			into[m.Column] = ovsdb.OvsSet{GoSet: append(slices.Clip(set.GoSet), ovsSet(value, isReference).GoSet...)}
			return nil
		}
		parent = made.self
	} else {
		e, found := p.view.row(m.Table, m.ID)
		if !found {
			return &MissingParentError{Table: m.Table, ID: m.ID}
		}
		there := (look || !isReference) && slices.Contains(e.set(m.Column), value)
		if key := e.uuid + "\x00" + value; !isReference {
			p.joined[key] = p.turn
			if i := slices.Index(p.removed, key); i >= 0 { // by another owner of this plan
				p.removed = slices.Concat(p.removed[:i], p.removed[i+1:])
				there = false
			}
		}
		if there {
			return nil
		}
		parent = e.uuid
	}
	p.ops = append(p.ops, ovsdbconn.Mutate(m.Table, parent, m.Column, ovsdb.MutateOperationInsert, ovsSet(value, isReference)))
	return nil
}

// leave takes a member's value out of its set. A set that is gone needs nothing.
func (p *plan) leave(m Member, self string) {
	value, isReference := m.Value, m.Value == ""
	if isReference {
		value = self
	}
	e, found := p.view.row(m.Table, m.ID)
	if !found || !slices.Contains(e.set(m.Column), value) {
		return
	}
	if !isReference {
		if _, stays := p.joined[e.uuid+"\x00"+value]; stays || p.shared(m, self) {
			return
		}
		p.removed = append(p.removed, e.uuid+"\x00"+value)
	}
	p.ops = append(p.ops, ovsdbconn.Mutate(m.Table, e.uuid, m.Column, ovsdb.MutateOperationDelete, ovsSet(value, isReference)))
}

// shared tells whether another row declares a member's value for the same set.
// Only link-local addresses can be those of two endpoints at once, on networks of
// their own; all other values have one row, and are not looked for.
func (p *plan) shared(m Member, self string) bool {
	if ip, err := netip.ParseAddr(m.Value); err != nil || !ip.IsLinkLocalUnicast() {
		return false
	}
	for _, t := range p.view.tables {
		for id, row := range p.view.cache.Table(t).RowsShallow() {
			members := (existing{t, id, row}).ids()[KeyMembers]
			if _, goes := p.deleted[id]; id == self || goes || !strings.Contains(members, m.Value) {
				continue
			}
			if slices.Contains(decodeMembers(members), m) {
				return true
			}
		}
	}
	return false
}

// strays adds what takes values out of our address sets that no row declares.
func (p *plan) strays(table, columnName string) {
	declared := map[string]bool{}
	for _, t := range p.view.tables {
		for id, m := range p.view.cache.Table(t).RowsShallow() {
			for _, member := range decodeMembers((existing{t, id, m}).ids()[KeyMembers]) {
				if member.Table == table && member.Value != "" {
					declared[member.ID+"\x00"+member.Value] = true
				}
			}
		}
	}
	for id, m := range p.view.cache.Table(table).RowsShallow() {
		e := existing{table, id, m}
		if e.owner().UID == "" || e.ids()[KeyWhole] == columnName {
			continue
		}
		for _, value := range e.set(columnName) {
			if !declared[e.ids()[KeyRow]+"\x00"+value] {
				p.removed = append(p.removed, id+"\x00"+value)
				p.ops = append(p.ops, ovsdbconn.Mutate(table, id, columnName, ovsdb.MutateOperationDelete, ovsSet(value, false)))
			}
		}
	}
}

func ovsSet(value string, reference bool) ovsdb.OvsSet {
	if reference {
		return ovsdbconn.Reference(value)
	}
	return ovsdb.OvsSet{GoSet: []any{value}}
}

// encodeMembers writes memberships for external_ids, short and always alike.
func encodeMembers(members []Member) string {
	if len(members) == 0 {
		return ""
	}
	list := make([][]string, len(members))
	for i, m := range members {
		list[i] = []string{m.Table, m.ID, m.Column, m.Value}
	}
	raw, _ := json.Marshal(list) // strings always marshal
	return string(raw)
}

// decodeMembers reads them back. What somebody else wrote there is ignored.
func decodeMembers(raw string) []Member {
	var list [][]string
	if raw == "" || json.Unmarshal([]byte(raw), &list) != nil {
		return nil
	}
	var out []Member
	for _, m := range list {
		if len(m) == 4 {
			out = append(out, Member{Table: m[0], ID: m[1], Column: m[2], Value: m[3]})
		}
	}
	return out
}
