// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/vas-solutus/arca-network/internal/ovsdbconn"
	ovsmodel "github.com/vas-solutus/arca-network/pkg/vnet/ovsdb"
)

type operation = ovsdb.Operation

// Keys of external_ids of the rows of ours.
const (
	keyOwnerKind = "arca-owner-kind"
	keyOwnerName = "arca-owner-name"
	keyOwnerUID  = "arca-owner-uid"
	// keyAddresses records what we have put on the inner end, so that it can
	// be taken away again when it changes.
	keyAddresses = "arca-addresses"
	keyIfaceID   = "iface-id"
	keyMAC       = "attached-mac"
)

// tables names what is followed. Statistics are not: they change every few
// seconds on every port. Nor are a bridge's ports: the cache would copy ten
// thousand references whenever one is added.
var tables = map[string]ovsdbconn.Table{
	ovsmodel.OpenvSwitchTable: {Model: &rootRow{}},
	ovsmodel.BridgeTable:      {Model: &bridgeRow{}},
	ovsmodel.PortTable:        {Model: &portRow{}, Indexes: []string{keyOwnerUID}},
	ovsmodel.InterfaceTable:   {Model: &interfaceRow{}, Indexes: []string{keyOwnerUID}},
}

// session is one connection to the Open_vSwitch database.
type session struct {
	*ovsdbconn.Conn
	bridge   string
	offloads bool
	watch    *watcher
}

func (m *Manager) connect(ctx context.Context) (*session, error) {
	s := &session{bridge: m.options.Bridge}
	conn, err := ovsdbconn.Connect(ctx, ovsdbconn.Options{
		Database: "Open_vSwitch", Endpoint: m.options.OVSSocket, Tables: tables, Timeout: m.options.Timeout, Log: m.options.Log,
	}, func(*ovsdbconn.Conn) cache.EventHandler {
		s.watch = newWatcher(m.emit, m.options.Bridge)
		return s.watch
	})
	if err != nil {
		return nil, err
	}
	s.Conn = conn
	if err := s.ensureBridge(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("bridge %s: %w", s.bridge, err)
	}
	return s, nil
}

// root returns the one row of table Open_vSwitch.
func (s *session) root() (string, model.Model) {
	for id, m := range s.Cache.Table(ovsmodel.OpenvSwitchTable).RowsShallow() {
		return id, m
	}
	return "", nil
}

// Offloads decides whether interfaces keep their checksum and segmentation
// offloads. The kernel's datapath handles them; the userspace datapath only
// with userspace TSO, and without it a TCP packet that its sender left
// unfinished does not pass.
func Offloads(datapathType string, otherConfig map[string]string) bool {
	return datapathType == "system" || otherConfig["userspace-tso-enable"] == "true"
}

// ensureBridge makes the integration bridge, as ovn-controller would: whoever
// comes first.
func (s *session) ensureBridge(ctx context.Context) error {
	id, root := s.root()
	if root == nil {
		return fmt.Errorf("table Open_vSwitch has no row: ovs-vsctl init was not run")
	}
	datapath := ovsdbconn.Map(root, "external_ids")["ovn-bridge-datapath-type"]
	if datapath == "" {
		datapath = "netdev"
		if _, err := os.Stat("/sys/module/openvswitch"); err == nil {
			datapath = "system"
		}
	}
	s.offloads = Offloads(datapath, ovsdbconn.Map(root, "other_config"))
	have, _, err := s.ByName(ovsmodel.BridgeTable, s.bridge)
	if err != nil || have != "" {
		return err
	}
	_, err = s.Transact(ctx, []operation{
		{Op: ovsdb.OperationInsert, Table: ovsmodel.InterfaceTable, UUIDName: "interface", Row: ovsdb.Row{"name": s.bridge, "type": "internal"}},
		{Op: ovsdb.OperationInsert, Table: ovsmodel.PortTable, UUIDName: "port", Row: ovsdb.Row{"name": s.bridge, "interfaces": ovsdbconn.Reference("interface")}},
		{Op: ovsdb.OperationInsert, Table: ovsmodel.BridgeTable, UUIDName: "bridge", Row: ovsdb.Row{
			"name": s.bridge, "ports": ovsdbconn.Reference("port"), "fail_mode": "secure", "datapath_type": datapath,
			"external_ids": ovsdbconn.Pairs(map[string]string{keyOwnerKind: "Topology"}),
		}},
		ovsdbconn.Mutate(ovsmodel.OpenvSwitchTable, id, "bridges", ovsdb.MutateOperationInsert, ovsdbconn.Reference("bridge")),
	})
	return err
}

// ownerOf reads our keys; the UID is empty for a row of others.
func ownerOf(m model.Model) Owner {
	ids := ovsdbconn.Map(m, "external_ids")
	return Owner{Kind: ids[keyOwnerKind], Name: ids[keyOwnerName], UID: ids[keyOwnerUID]}
}

// free refuses a name that somebody else's port has.
func (s *session) free(p Port) error {
	_, row, err := s.ByName(ovsmodel.InterfaceTable, p.Name)
	if err != nil || row == nil {
		return err
	}
	if o := ownerOf(row); o.UID != p.Owner.UID {
		return &ConflictError{Name: p.Name, Where: "bridge " + s.bridge}
	}
	return nil
}

// addressesOf returns the addresses that were recorded for a port.
func (s *session) addressesOf(name string) []string {
	_, row, err := s.ByName(ovsmodel.InterfaceTable, name)
	if err != nil || row == nil {
		return nil
	}
	return strings.Fields(ovsdbconn.Map(row, "external_ids")[keyAddresses])
}

// state reads what ovs-vswitchd and ovn-controller say of a port.
func (s *session) state(name string) State {
	_, row, err := s.ByName(ovsmodel.InterfaceTable, name)
	if err != nil || row == nil {
		return State{}
	}
	st := State{OVNInstalled: ovsdbconn.Map(row, "external_ids")["ovn-installed"] == "true"}
	if v, _ := ovsdbconn.Column(row, "ofport").Interface().(*int); v != nil {
		st.OFPort = *v
	}
	if v, _ := ovsdbconn.Column(row, "error").Interface().(*string); v != nil {
		st.Error = *v
	}
	return st
}

// namesOf lists the interfaces of an owner.
func (s *session) namesOf(uid string) []string {
	var names []string
	for _, row := range s.Find(ovsmodel.InterfaceTable, keyOwnerUID, uid) {
		names = append(names, ovsdbconn.Column(row, "name").String())
	}
	return names
}

// owners lists all owners of ports.
func (s *session) owners() []Owner {
	seen := map[Owner]bool{}
	for _, table := range []string{ovsmodel.PortTable, ovsmodel.InterfaceTable} {
		for _, row := range s.Cache.Table(table).RowsShallow() {
			if o := ownerOf(row); o.UID != "" {
				seen[o] = true
			}
		}
	}
	return slices.Collect(maps.Keys(seen))
}

// names numbers the rows that are inserted; several plans share a transaction.
var names atomic.Uint64

// planPort brings the rows of a port to what they should be.
func (s *session) planPort(p Port) ([]operation, error) {
	bridge, row, err := s.ByName(ovsmodel.BridgeTable, s.bridge)
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, fmt.Errorf("bridge %s was removed: %w", s.bridge, ErrDisconnected)
	}
	ops := s.planSurplus(p)
	ids := map[string]string{
		keyOwnerKind: p.Owner.Kind, keyOwnerName: p.Owner.Name, keyOwnerUID: p.Owner.UID,
		keyIfaceID: p.IfaceID, keyMAC: p.MAC.String(),
	}
	if recorded := addressList(p); recorded != "" {
		ids[keyAddresses] = recorded
	}
	want := ovsdb.Row{"type": "", "mac": none, "mtu_request": none}
	if p.Type == Internal {
		want["type"] = "internal"
		want["mac"] = ovsdb.OvsSet{GoSet: []any{p.MAC.String()}}
		if p.MTU > 0 {
			want["mtu_request"] = ovsdb.OvsSet{GoSet: []any{p.MTU}}
		}
	}
	interfaceID, have, err := s.ByName(ovsmodel.InterfaceTable, p.Name)
	if err != nil {
		return nil, err
	}
	portID, port, err := s.ByName(ovsmodel.PortTable, p.Name)
	if err != nil {
		return nil, err
	}
	if have != nil && port != nil {
		if row := difference(have, want, ids); len(row) > 0 {
			ops = append(ops, operation{Op: ovsdb.OperationUpdate, Table: ovsmodel.InterfaceTable, Where: ovsdbconn.ByUUID(interfaceID), Row: row})
		}
		if row := difference(port, nil, ownerKeys(ids)); len(row) > 0 {
			ops = append(ops, operation{Op: ovsdb.OperationUpdate, Table: ovsmodel.PortTable, Where: ovsdbconn.ByUUID(portID), Row: row})
		}
		return ops, nil
	}
	n := names.Add(1)
	newInterface, newPort := fmt.Sprint("interface", n), fmt.Sprint("port", n)
	want["name"], want["external_ids"] = p.Name, ovsdbconn.Pairs(ids)
	return append(ops,
		operation{Op: ovsdb.OperationInsert, Table: ovsmodel.InterfaceTable, UUIDName: newInterface, Row: want},
		operation{Op: ovsdb.OperationInsert, Table: ovsmodel.PortTable, UUIDName: newPort, Row: ovsdb.Row{
			"name": p.Name, "interfaces": ovsdbconn.Reference(newInterface), "external_ids": ovsdbconn.Pairs(ownerKeys(ids)),
		}},
		ovsdbconn.Mutate(ovsmodel.BridgeTable, bridge, "ports", ovsdb.MutateOperationInsert, ovsdbconn.Reference(newPort)),
	), nil
}

var none = ovsdb.OvsSet{GoSet: []any{}}

func ownerKeys(ids map[string]string) map[string]string {
	return map[string]string{keyOwnerKind: ids[keyOwnerKind], keyOwnerName: ids[keyOwnerName], keyOwnerUID: ids[keyOwnerUID]}
}

// addressList is how addresses are recorded.
func addressList(p Port) string {
	list := make([]string, len(p.Addresses))
	for i, a := range p.Addresses {
		list[i] = a.String()
	}
	return strings.Join(list, " ")
}

// planSurplus removes ports of the owner under another name: the spec's name
// has changed.
func (s *session) planSurplus(p Port) []operation {
	var ops []operation
	for id, row := range s.Find(ovsmodel.PortTable, keyOwnerUID, p.Owner.UID) {
		if ovsdbconn.Column(row, "name").String() != p.Name {
			ops = append(ops, s.removePort(id)...)
		}
	}
	return ops
}

// difference returns the columns of a row that are not as they should be.
// Keys of others in external_ids are kept.
func difference(have model.Model, want ovsdb.Row, ids map[string]string) ovsdb.Row {
	out := ovsdb.Row{}
	for name, value := range want {
		column := ovsdbconn.Column(have, name)
		if column.IsValid() && !equal(value, column.Interface()) {
			out[name] = value
		}
	}
	now := ovsdbconn.Map(have, "external_ids")
	merged := maps.Clone(now)
	if merged == nil {
		merged = map[string]string{}
	}
	if _, recorded := ids[keyAddresses]; !recorded {
		delete(merged, keyAddresses)
	}
	maps.Copy(merged, ids)
	if !maps.Equal(merged, now) {
		out["external_ids"] = ovsdbconn.Pairs(merged)
	}
	return out
}

// equal compares a value of the wire with one of the cache.
func equal(want, have any) bool {
	set, isSet := want.(ovsdb.OvsSet)
	if !isSet {
		return want == have
	}
	switch v := have.(type) {
	case *string:
		return v == nil && len(set.GoSet) == 0 || v != nil && len(set.GoSet) == 1 && set.GoSet[0] == *v
	case *int:
		return v == nil && len(set.GoSet) == 0 || v != nil && len(set.GoSet) == 1 && set.GoSet[0] == *v
	}
	return false
}

// plugged tells whether there are rows of the name.
func (s *session) plugged(name string) bool {
	_, row, err := s.ByName(ovsmodel.PortTable, name)
	return err == nil && row != nil
}

// unplug removes the rows of an owner and returns when ovs-vswitchd has seen
// it. It would otherwise keep its sockets on a link that is gone when another
// of the same name appears.
func (m *Manager) unplug(ctx context.Context, s *session, uid string) error {
	var next int
	err := m.submit(ctx, uid, func(s *session) ([]operation, error) {
		id, root := s.root()
		if root == nil {
			return nil, ErrDisconnected
		}
		next = int(ovsdbconn.Column(root, "next_cfg").Int()) + 1
		return append(s.planDelete(uid), ovsdbconn.Mutate(ovsmodel.OpenvSwitchTable, id, "next_cfg", ovsdb.MutateOperationAdd, 1)), nil
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, m.options.Timeout)
	defer cancel()
	for {
		configured := s.watch.configured()
		if _, root := s.root(); root != nil && int(ovsdbconn.Column(root, "cur_cfg").Int()) >= next {
			return nil
		}
		select {
		case <-configured:
		case <-ctx.Done():
			return fmt.Errorf("ovs-vswitchd does not answer: %w", ctx.Err())
		}
	}
}

// planDelete removes the rows of an owner.
func (s *session) planDelete(uid string) []operation {
	var ops []operation
	for id := range s.Find(ovsmodel.PortTable, keyOwnerUID, uid) {
		ops = append(ops, s.removePort(id)...)
	}
	return ops
}

// removePort takes a port out of the bridge. The server then removes the rows
// of port and interface: nothing refers to them any more.
func (s *session) removePort(id string) []operation {
	bridge, _, err := s.ByName(ovsmodel.BridgeTable, s.bridge)
	if err != nil || bridge == "" {
		return nil
	}
	if _, row := id, s.Cache.Table(ovsmodel.PortTable).Row(id); row != nil {
		s.watch.removing(ovsdbconn.Set(row, "interfaces")...)
	}
	return []operation{ovsdbconn.Mutate(ovsmodel.BridgeTable, bridge, "ports", ovsdb.MutateOperationDelete, ovsdbconn.Reference(id))}
}
