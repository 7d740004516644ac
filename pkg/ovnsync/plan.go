// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnsync

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/google/uuid"
	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/vas-solutus/arca-network/internal/ovsdbconn"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
)

// plan collects the operations that bring some owners' rows to what they
// should be. Rows that it inserts can be parents of later ones.
type plan struct {
	view   *view
	schema ovsdb.DatabaseSchema
	spent  *spent
	ops    []ovsdb.Operation
	names  int
	first  int // operation of the owner that is being planned
	// pending holds the rows that the plan inserts.
	pending map[string]inserted
	// deleted holds the operations that delete rows, by UUID.
	deleted map[string]int
	// turn counts the owners, and joined holds whose turn put a value into a set last,
	// by the set's UUID and the value.
	turn   int
	joined map[string]int
	// settled and removed say what the database will hold, for telling our own
	// changes from those of others.
	settled []settled
	removed []string
}

// inserted is a row that the plan inserts: its UUID, or a name that stands for
// one, and its operation.
type inserted struct {
	self string
	op   int
}

// settled is a row as it will be: by its UUID, or by the operation that
// inserts it.
type settled struct {
	uuid string
	op   int
	row  Row
	ids  map[string]string
	refs map[string]string // by column
}

func newPlan(s *session) *plan {
	return &plan{view: s.view(), schema: s.Schema, spent: &s.spent, pending: map[string]inserted{}, deleted: map[string]int{}, joined: map[string]int{}}
}

// mark remembers where the plan stands; rollback returns there.
func (p *plan) mark() plan { return *p }

func (p *plan) rollback(m plan) {
	maps.DeleteFunc(p.pending, func(_ string, made inserted) bool { return made.op >= len(m.ops) })
	maps.DeleteFunc(p.deleted, func(_ string, op int) bool { return op >= len(m.ops) })
	maps.DeleteFunc(p.joined, func(_ string, turn int) bool { return turn > m.turn })
	*p = m
}

// owner adds what makes rows the owner's only rows.
func (p *plan) owner(owner Owner, rows []Row) error {
	p.first = len(p.ops)
	p.turn++
	owned := p.view.owned(owner.UID)
	have := map[string]existing{}
	for _, e := range slices.Backward(owned) {
		have[e.table+"\x00"+e.ids()[KeyRow]] = e
	}
	stay := map[string]bool{} // by UUID
	for _, row := range rows {
		table := p.tableOf(row.Model)
		if table == "" {
			return fmt.Errorf("row %s: %T is no table of the server's schema", row.ID, row.Model)
		}
		if err := p.need(row); err != nil {
			return err
		}
		e, ok := have[table+"\x00"+row.ID]
		if !ok {
			e, ok = p.disowned(table, rowUUID(owner, table, row.ID))
		}
		var err error
		if ok {
			stay[e.uuid] = true
			p.view.rows[table+"\x00"+row.ID] = e // also where its keys do not say so
			err = p.correct(owner, e, row)
		} else {
			err = p.insert(owner, table, row)
		}
		if err != nil {
			return err
		}
	}
	for _, e := range owned {
		if !stay[e.uuid] {
			p.remove(e)
		}
	}
	return nil
}

// disowned finds a row of ours whose keys somebody has changed: no other has its UUID.
func (p *plan) disowned(table, uuid string) (existing, bool) {
	if _, goes := p.deleted[uuid]; goes {
		return existing{}, false
	}
	return p.view.in(table, uuid)
}

func (p *plan) tableOf(m model.Model) string {
	t := reflect.TypeOf(m)
	for table, known := range monitored {
		if reflect.TypeOf(known) == t && p.schema.Table(table) != nil {
			return table
		}
	}
	return ""
}

// need looks for the rows that a row needs.
func (p *plan) need(row Row) error {
	for _, n := range row.Needs {
		if _, ok := p.pending[n.Table+"\x00"+n.ID]; ok {
			continue
		}
		if _, found := p.view.row(n.Table, n.ID); !found {
			return &MissingParentError{Table: n.Table, ID: n.ID}
		}
	}
	return nil
}

// setColumns are the columns that members put values into; a row that owns one
// itself has it whole.
var setColumns = []string{"addresses"}

// wholeColumn is the set column of an address set that the row itself fills.
func wholeColumn(row Row) string {
	if _, ok := row.Model.(*nbdb.AddressSet); !ok {
		return ""
	}
	for _, c := range setColumns {
		if slices.Contains(row.Columns, c) {
			return c
		}
	}
	return ""
}

// identity is what external_ids of a row must hold.
func identity(owner Owner, row Row) map[string]string {
	ids := map[string]string{
		KeyOwnerKind: owner.Kind, KeyOwnerName: owner.Name, KeyOwnerUID: owner.UID,
		KeyRow: row.ID, KeyMembers: encodeMembers(row.Members),
	}
	if whole := wholeColumn(row); whole != "" {
		ids[KeyWhole] = whole
	}
	if extra, ok := ovsdbconn.Column(row.Model, "external_ids").Interface().(map[string]string); ok {
		for k, v := range extra {
			ids[k] = v
		}
	}
	return ids
}

func (p *plan) insert(owner Owner, table string, row Row) error {
	self, op := p.newRow(owner, table, row.ID)
	values := op.Row
	for _, c := range row.Columns {
		if ovsdbconn.Empty(ovsdbconn.Column(row.Model, c)) {
			continue // as in any new row
		}
		if err := p.value(table, c, row.Model, values); err != nil {
			return err
		}
	}
	refs := p.references(row)
	for c, target := range refs {
		if target != "" {
			values[c] = ovsdbconn.Reference(target)
		}
	}
	ids := identity(owner, row)
	values["external_ids"] = ovsdbconn.Pairs(ids)
	p.settled = append(p.settled, settled{op: len(p.ops), row: row, ids: ids, refs: refs})
	p.pending[table+"\x00"+row.ID] = inserted{self: self, op: len(p.ops)}
	p.ops = append(p.ops, op)
	for _, m := range row.Members {
		if err := p.join(m, self, false); err != nil {
			return err
		}
	}
	return nil
}

// rowSpace is the namespace of the UUIDs of our rows.
var rowSpace = uuid.MustParse("9d0e8f6b-7f0c-4c1e-8a63-2f1d6f0f6a35")

// rowUUID is a row's UUID, which follows from whose row it is. So a row that was lost,
// with its database even, comes back as the same: to ovn-northd, and to all that it has
// derived from it, nothing happened.
func rowUUID(owner Owner, table, id string) string {
	return uuid.NewSHA1(rowSpace, []byte(owner.UID+"\x00"+table+"\x00"+id)).String()
}

// newRow is the insertion of a row under its UUID (an extension of RFC 7047's insert,
// since Open vSwitch 2.13), and what the row is called in other operations.
func (p *plan) newRow(owner Owner, table, id string) (self string, op ovsdb.Operation) {
	op = ovsdb.Operation{Op: ovsdb.OperationInsert, Table: table, Row: ovsdb.Row{}}
	self = rowUUID(owner, table, id)
	// It is that of a row that goes in the same transaction or has just gone. Then this
	// one is a new row.
	if _, goes := p.deleted[self]; goes || p.spent.has(self) {
		p.names++
		self = fmt.Sprintf("row%d", p.names)
		op.UUIDName = self
		return self, op
	}
	op.UUID = self
	return self, op
}

// correct brings a row to what it should be, column by column.
func (p *plan) correct(owner Owner, e existing, row Row) error {
	values := ovsdb.Row{}
	for _, c := range row.Columns {
		want, have := ovsdbconn.Column(row.Model, c), ovsdbconn.Column(e.model, c)
		if have.IsValid() && !same(want, have) {
			if err := p.value(e.table, c, row.Model, values); err != nil {
				return err
			}
		}
	}
	refs := p.references(row)
	for c, target := range refs {
		switch have := e.reference(c); {
		case have == target:
		case target == "":
			values[c] = ovsdb.OvsSet{}
		default:
			values[c] = ovsdbconn.Reference(target)
		}
	}
	ids, have := identity(owner, row), e.ids()
	merged := map[string]string{}
	maps.Copy(merged, have)
	maps.Copy(merged, ids)
	if !maps.Equal(merged, have) {
		values["external_ids"] = ovsdbconn.Pairs(merged)
	}
	p.settled = append(p.settled, settled{uuid: e.uuid, row: row, ids: ids, refs: refs})
	if whole := wholeColumn(row); whole != "" {
		keep := ovsdbconn.Set(row.Model, whole)
		for _, v := range e.set(whole) {
			if !slices.Contains(keep, v) {
				p.removed = append(p.removed, e.uuid+"\x00"+v)
			}
		}
	}
	if len(values) > 0 {
		p.ops = append(p.ops, ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: e.table, Where: ovsdbconn.ByUUID(e.uuid), Row: values})
	}
	for _, old := range decodeMembers(have[KeyMembers]) {
		if !slices.Contains(row.Members, old) {
			p.leave(old, e.uuid)
		}
	}
	for _, m := range row.Members {
		if err := p.join(m, e.uuid, true); err != nil {
			return err
		}
	}
	return nil
}

// references finds the UUIDs that a row's references should hold, by column;
// empty where there is no such row yet.
func (p *plan) references(row Row) map[string]string {
	refs := map[string]string{}
	for _, r := range row.References {
		refs[r.Column] = ""
		if r.ID == "" {
			continue
		}
		if e, found := p.view.row(r.Table, r.ID); found {
			refs[r.Column] = e.uuid
		}
	}
	return refs
}

// remove takes a row out of the sets that it is in, and deletes it.
func (p *plan) remove(e existing) {
	for _, m := range decodeMembers(e.ids()[KeyMembers]) {
		p.leave(m, e.uuid)
	}
	p.removed = append(p.removed, e.uuid)
	p.deleted[e.uuid] = len(p.ops)
	p.ops = append(p.ops, ovsdb.Operation{Op: ovsdb.OperationDelete, Table: e.table, Where: ovsdbconn.ByUUID(e.uuid)})
}

// value converts a column's value to the form of the wire. A column that the
// server's schema does not have is left out.
func (p *plan) value(table, name string, m model.Model, into ovsdb.Row) error {
	c := p.schema.Table(table).Column(name)
	if c == nil {
		return nil
	}
	v := ovsdbconn.Column(m, name)
	if !v.IsValid() {
		return fmt.Errorf("table %s has no column %q", table, name)
	}
	ovs, err := ovsdb.NativeToOvs(c, v.Interface())
	if err != nil {
		return fmt.Errorf("table %s column %s: %w", table, name, err)
	}
	into[name] = ovs
	return nil
}

// same compares values of one column; sets have no order.
func same(want, have reflect.Value) bool {
	if ovsdbconn.Empty(want) || ovsdbconn.Empty(have) {
		return ovsdbconn.Empty(want) == ovsdbconn.Empty(have)
	}
	if w, ok := want.Interface().([]string); ok {
		h, _ := have.Interface().([]string)
		return slices.Equal(slices.Sorted(slices.Values(w)), slices.Sorted(slices.Values(h)))
	}
	return reflect.DeepEqual(want.Interface(), have.Interface())
}
