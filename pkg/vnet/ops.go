// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"fmt"
	"strconv"
	"sync/atomic"

	libovsdb "github.com/ovn-kubernetes/libovsdb/ovsdb"
	"github.com/vas-solutus/arca-network/pkg/vnet/ovsdb"
)

// Operations on the database, built by hand: libovsdb's own builders go by the
// zero value of fields and by reflection, and cannot address Bridge.ports, which
// is not monitored (its copy would be 10,000 UUIDs with every port).

func itoa(i int) string { return strconv.Itoa(i) }

// rowNames makes the names of new rows unique within any shared transaction.
var rowNames atomic.Uint64

func newRowName() string { return "arca" + strconv.FormatUint(rowNames.Add(1), 10) }

func whereUUID(uuid string) []libovsdb.Condition {
	return []libovsdb.Condition{{Column: "_uuid", Function: libovsdb.ConditionEqual, Value: libovsdb.UUID{GoUUID: uuid}}}
}

func ovsMap(m map[string]string) libovsdb.OvsMap {
	out := libovsdb.OvsMap{GoMap: make(map[any]any, len(m))}
	for k, v := range m {
		if v != "" {
			out.GoMap[k] = v
		}
	}
	return out
}

func uuidSet(uuid string) libovsdb.OvsSet {
	return libovsdb.OvsSet{GoSet: []any{libovsdb.UUID{GoUUID: uuid}}}
}

func emptySet() libovsdb.OvsSet { return libovsdb.OvsSet{GoSet: []any{}} }

func optional[T any](p *T) any {
	if p == nil {
		return emptySet()
	}
	return *p
}

// insertRows makes an Interface row and the Port row of the same name, and names the
// latter.
func insertRows(interfaceRow libovsdb.Row, portIDs libovsdb.OvsMap) (ops []libovsdb.Operation, port string) {
	iface, port := newRowName(), newRowName()
	return []libovsdb.Operation{
		{Op: libovsdb.OperationInsert, Table: ovsdb.InterfaceTable, UUIDName: iface, Row: interfaceRow},
		{Op: libovsdb.OperationInsert, Table: ovsdb.PortTable, UUIDName: port, Row: libovsdb.Row{
			"name": interfaceRow["name"], "interfaces": libovsdb.UUID{GoUUID: iface}, "external_ids": portIDs,
		}},
	}, port
}

// putInto puts ports into a bridge. Its result counts the bridge.
func putInto(bridge string, ports libovsdb.OvsSet) libovsdb.Operation {
	return libovsdb.Operation{Op: libovsdb.OperationMutate, Table: ovsdb.BridgeTable, Where: whereUUID(bridge), Mutations: []libovsdb.Mutation{
		{Column: "ports", Mutator: libovsdb.MutateOperationInsert, Value: ports},
	}}
}

// insertPort makes both rows and puts the port in the bridge. The last operation
// counts the bridge: 0 means that it is gone, and the rows with it.
func insertPort(bridge string, p plugged) []libovsdb.Operation {
	irow := libovsdb.Row{"name": p.Name, "type": p.ifaceType(), "external_ids": ovsMap(p.ifaceIDs())}
	if mac := p.ifaceMAC(); mac != nil {
		irow["mac"] = *mac
	}
	if mtu := p.ifaceMTU(); mtu != nil {
		irow["mtu_request"] = *mtu
	}
	ops, port := insertRows(irow, ovsMap(p.portIDs()))
	return append(ops, putInto(bridge, uuidSet(port)))
}

// removePort takes the port out of whatever bridge it is in. Port and Interface
// rows that nothing refers to are removed by the database.
func removePort(uuid string) libovsdb.Operation {
	return libovsdb.Operation{
		Op: libovsdb.OperationMutate, Table: ovsdb.BridgeTable,
		Where: []libovsdb.Condition{{Column: "ports", Function: libovsdb.ConditionIncludes, Value: uuidSet(uuid)}},
		Mutations: []libovsdb.Mutation{
			{Column: "ports", Mutator: libovsdb.MutateOperationDelete, Value: uuidSet(uuid)},
		},
	}
}

// mutations of a map that make the change.
func (d idDiff) mutations(column string) []libovsdb.Mutation {
	del := make([]any, len(d.del))
	for i, k := range d.del {
		del[i] = k
	}
	muts := []libovsdb.Mutation{{Column: column, Mutator: libovsdb.MutateOperationDelete, Value: libovsdb.OvsSet{GoSet: del}}}
	if len(d.ins) != 0 {
		muts = append(muts, libovsdb.Mutation{Column: column, Mutator: libovsdb.MutateOperationInsert, Value: ovsMap(d.ins)})
	}
	return muts
}

// updateRows makes existing rows so; only what differs is sent.
func updateRows(want plugged, have rows, d rowDiff) []libovsdb.Operation {
	var ops []libovsdb.Operation
	ids := func(table, uuid string, d idDiff) {
		if d.empty() {
			return
		}
		ops = append(ops, libovsdb.Operation{Op: libovsdb.OperationMutate, Table: table, Where: whereUUID(uuid), Mutations: d.mutations("external_ids")})
	}
	update := func(table, uuid string, row libovsdb.Row) {
		if len(row) != 0 {
			ops = append(ops, libovsdb.Operation{Op: libovsdb.OperationUpdate, Table: table, Where: whereUUID(uuid), Row: row})
		}
	}
	if d.vlan {
		update(ovsdb.PortTable, have.port.UUID, libovsdb.Row{"tag": emptySet(), "trunks": emptySet(), "vlan_mode": emptySet()})
	}
	irow := libovsdb.Row{}
	if d.ifaceType {
		irow["type"] = want.ifaceType()
	}
	if d.ifaceMAC {
		irow["mac"] = optional(want.ifaceMAC())
	}
	if d.ifaceMTU {
		irow["mtu_request"] = optional(want.ifaceMTU())
	}
	update(ovsdb.InterfaceTable, have.iface.UUID, irow)
	ids(ovsdb.PortTable, have.port.UUID, d.portIDs)
	ids(ovsdb.InterfaceTable, have.iface.UUID, d.ifaceIDs)
	return ops
}

// bumpConfig asks ovs-vswitchd to say when it has done everything up to here:
// it then sets cur_cfg to the next_cfg that the second operation reads.
func bumpConfig(root string) []libovsdb.Operation {
	return []libovsdb.Operation{
		{Op: libovsdb.OperationMutate, Table: ovsdb.OpenvSwitchTable, Where: whereUUID(root), Mutations: []libovsdb.Mutation{
			{Column: "next_cfg", Mutator: libovsdb.MutateOperationAdd, Value: 1},
		}},
		{Op: libovsdb.OperationSelect, Table: ovsdb.OpenvSwitchTable, Where: whereUUID(root), Columns: []string{"next_cfg"}},
	}
}

// bumpedConfig reads the number from the result of bumpConfig.
func bumpedConfig(r libovsdb.OperationResult) (int, error) {
	if len(r.Rows) == 1 {
		switch v := r.Rows[0]["next_cfg"].(type) {
		case float64:
			return int(v), nil
		case int:
			return v, nil
		}
	}
	return 0, fmt.Errorf("reading Open_vSwitch.next_cfg: unexpected result %v", r.Rows)
}
