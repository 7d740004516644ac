// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnsync

import (
	"reflect"
	"slices"
	"sort"

	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/model"

	"github.com/vas-solutus/arca-network/internal/ovsdbconn"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
)

// existing is a row of the database.
type existing struct {
	table, uuid string
	model       model.Model
}

func (e existing) ids() map[string]string {
	return ovsdbconn.Map(e.model, "external_ids")
}

func (e existing) owner() Owner { return ownerIn(e.ids()) }

// ownerIn reads whose a row is from its external_ids.
func ownerIn(ids map[string]string) Owner {
	return Owner{Kind: ids[KeyOwnerKind], Name: ids[KeyOwnerName], UID: ids[KeyOwnerUID]}
}

// set returns the values of a set column as strings.
func (e existing) set(name string) []string { return ovsdbconn.Set(e.model, name) }

// reference returns the value of a column of one optional reference.
func (e existing) reference(column string) string {
	v := ovsdbconn.Column(e.model, column)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return ""
	}
	return v.Elem().String()
}

// view reads the cache through its indexes.
type view struct {
	conn   *ovsdbconn.Conn
	cache  *cache.TableCache
	tables []string
	// rows are those that were found by their stable id: parents of many are asked
	// for again and again, and the cache copies each row that it returns.
	rows map[string]existing
}

func (s *session) view() *view {
	v := &view{conn: s.Conn, cache: s.Cache, rows: map[string]existing{}}
	for table := range s.Types {
		// A row without external_ids cannot be marked as ours.
		if table != nbdb.NBGlobalTable && s.Schema.Table(table).Columns["external_ids"] != nil {
			v.tables = append(v.tables, table)
		}
	}
	sort.Strings(v.tables)
	return v
}

// by finds the rows of a table whose external_ids hold a pair.
func (v *view) by(table, key, value string) []existing {
	rows := v.conn.Find(table, key, value)
	out := make([]existing, 0, len(rows))
	for id, m := range rows {
		out = append(out, existing{table, id, m})
	}
	slices.SortFunc(out, func(x, y existing) int {
		if x.uuid < y.uuid {
			return -1
		}
		return 1
	})
	return out
}

// owned finds all rows of an owner.
func (v *view) owned(uid string) []existing {
	var out []existing
	for _, table := range v.tables {
		if v.cache.Table(table).Len() > 0 {
			out = append(out, v.by(table, KeyOwnerUID, uid)...)
		}
	}
	return out
}

// row finds a row by its stable id.
func (v *view) row(table, id string) (existing, bool) {
	if !slices.Contains(v.tables, table) {
		return existing{}, false
	}
	key := table + "\x00" + id
	if e, found := v.rows[key]; found {
		return e, true
	}
	found := v.by(table, KeyRow, id)
	if len(found) == 0 {
		return existing{}, false
	}
	v.rows[key] = found[0]
	return found[0], true
}

// in finds a row of a table by its UUID.
func (v *view) in(table, id string) (existing, bool) {
	m := v.cache.Table(table).Row(id)
	return existing{table, id, m}, m != nil
}

// at finds a row by its UUID, in whatever table it is.
func (v *view) at(id string) (existing, bool) {
	for _, table := range v.tables {
		if e, found := v.in(table, id); found {
			return e, true
		}
	}
	return existing{}, false
}

// owners counts the rows of each owner.
func (v *view) owners() map[Owner]int {
	out := map[Owner]int{}
	for _, table := range v.tables {
		for id, m := range v.cache.Table(table).RowsShallow() {
			if o := (existing{table, id, m}).owner(); o.UID != "" {
				out[o]++
			}
		}
	}
	return out
}

// portUp reads Logical_Switch_Port.up by the schema's own index on name.
func (v *view) portUp(name string) (up, found bool, err error) {
	_, row, err := v.conn.ByName(nbdb.LogicalSwitchPortTable, name)
	if err != nil || row == nil {
		return false, false, err
	}
	value, _ := ovsdbconn.Column(row, "up").Interface().(*bool)
	return value != nil && *value, true, nil
}
