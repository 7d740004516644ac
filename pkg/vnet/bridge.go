// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	libovsdb "github.com/ovn-kubernetes/libovsdb/ovsdb"
	"github.com/vishvananda/netlink"

	"github.com/vas-solutus/arca-network/pkg/vnet/ovsdb"
)

// Datapath types.
const (
	DatapathSystem = "system" // the kernel's openvswitch module
	DatapathNetdev = "netdev" // in ovs-vswitchd itself
)

// bridgeOwnerKind marks the bridge. It is never pruned: others may use it too.
const bridgeOwnerKind = "Bridge"

// datapathFacts is what the bridge's datapath type is decided from.
type datapathFacts struct {
	// Configured is Options.DatapathType.
	Configured string
	// Current is the type of the bridge that exists; Exists says that one does.
	Current string
	Exists  bool
	// Types is Open_vSwitch.datapath_types, empty until ovs-vswitchd ran. It
	// lists "system" without the kernel module too (seen on 3.5.0).
	Types []string
	// Module says that the kernel answers for the openvswitch module.
	Module bool
}

// decideDatapath is the type that the bridge must have. A type that works and
// that nobody configured otherwise is kept: changing it interrupts traffic.
func decideDatapath(f datapathFacts) string {
	system := f.Module && (len(f.Types) == 0 || slices.Contains(f.Types, DatapathSystem))
	current := f.Current
	if current == "" {
		current = DatapathSystem // what the database's empty default means
	}
	switch {
	case f.Configured != "":
		return f.Configured
	case f.Exists && (current == DatapathNetdev || current == DatapathSystem && system):
		return f.Current
	case system:
		return DatapathSystem
	default:
		return DatapathNetdev
	}
}

// kernelDatapath asks the kernel; asking loads the module where there is one.
func kernelDatapath() bool {
	_, err := netlink.GenlFamilyGet("ovs_datapath")
	return err == nil
}

// ensureBridge makes the bridge exist with what OVN needs, and gives a database
// that has none an epoch, and the ports that the one before had. It returns the
// epoch, the datapath type and whether something had to be changed.
func (m *Manager) ensureBridge(ctx context.Context, s *session, before remembered) (epoch, datapath string, changed bool, err error) {
	// ovn-controller creates the bridge too, and whoever starts the daemons the
	// root row: whoever loses such a race looks again.
	for try := range 5 {
		if try > 2 {
			before = nil // the ports come back one by one, too
		}
		var ops []libovsdb.Operation
		ops, epoch, datapath, err = m.bridgeOps(s, before)
		if err != nil || len(ops) == 0 {
			return epoch, datapath, changed, err
		}
		if _, err = s.commit(ctx, ops); errors.Is(err, ErrNotConnected) || ctx.Err() != nil {
			break
		}
		changed = changed || err == nil
	}
	return "", "", false, fmt.Errorf("bridge %s: %w", m.o.Bridge, errors.Join(err, errUnsettled))
}

var errUnsettled = errors.New("its rows do not stay as they are written")

func (m *Manager) bridgeOps(s *session, before remembered) (ops []libovsdb.Operation, epoch, datapath string, err error) {
	root, err := s.root()
	if err != nil {
		return nil, "", "", err
	}
	row, err := s.bridgeRow()
	if err != nil {
		return nil, "", "", err
	}
	facts := datapathFacts{Configured: m.o.DatapathType, Module: m.kernelDatapath()}
	if root != nil {
		facts.Types = root.DatapathTypes
	}
	if row != nil {
		facts.Exists, facts.Current = true, row.DatapathType
	}
	datapath = decideDatapath(facts)

	rootID, ports := newRowName(), []any(nil)
	if root == nil || root.ExternalIDs[keyEpoch] == "" {
		if before, err = before.missingIn(s); err != nil {
			return nil, "", "", err
		}
		ops, ports = before.insert()
	}
	if root == nil {
		epoch = rand.Text()
		ops = append(ops, libovsdb.Operation{
			Op: libovsdb.OperationInsert, Table: ovsdb.OpenvSwitchTable, UUIDName: rootID,
			Row: libovsdb.Row{"external_ids": ovsMap(map[string]string{keyEpoch: epoch})},
		})
	} else {
		rootID = root.UUID
		if epoch = root.ExternalIDs[keyEpoch]; epoch == "" {
			epoch = rand.Text()
			ops = append(ops, libovsdb.Operation{
				Op: libovsdb.OperationMutate, Table: ovsdb.OpenvSwitchTable, Where: whereUUID(rootID),
				Mutations: []libovsdb.Mutation{{
					Column: "external_ids", Mutator: libovsdb.MutateOperationInsert,
					Value: ovsMap(map[string]string{keyEpoch: epoch}),
				}},
			})
		}
	}
	if row == nil {
		return append(ops, m.insertBridge(rootID, datapath, ports)...), epoch, datapath, nil
	}
	if len(ports) != 0 {
		ops = append(ops, putInto(row.UUID, libovsdb.OvsSet{GoSet: ports}))
	}
	want := libovsdb.Row{}
	if row.FailMode == nil || *row.FailMode != ovsdb.BridgeFailModeSecure {
		want["fail_mode"] = ovsdb.BridgeFailModeSecure
	}
	if row.DatapathType != datapath {
		want["datapath_type"] = datapath
	}
	if len(want) != 0 {
		ops = append(ops, libovsdb.Operation{Op: libovsdb.OperationUpdate, Table: ovsdb.BridgeTable, Where: whereUUID(row.UUID), Row: want})
	}
	if datapath == "" {
		datapath = DatapathSystem
	}
	return ops, epoch, datapath, nil
}

// insertBridge makes the bridge with its local port, as ovs-vsctl add-br does, and
// with those of the named new ports.
// Without a controller a secure bridge forwards nothing, which is what is wanted
// until ovn-controller has programmed it.
func (m *Manager) insertBridge(root, datapath string, ports []any) []libovsdb.Operation {
	iface, port, bridge := newRowName(), newRowName(), newRowName()
	ids := map[string]string{keyOwnerKind: bridgeOwnerKind, keyOwnerName: m.o.Bridge}
	return []libovsdb.Operation{
		{Op: libovsdb.OperationInsert, Table: ovsdb.InterfaceTable, UUIDName: iface, Row: libovsdb.Row{
			"name": m.o.Bridge, "type": "internal",
		}},
		{Op: libovsdb.OperationInsert, Table: ovsdb.PortTable, UUIDName: port, Row: libovsdb.Row{
			"name": m.o.Bridge, "interfaces": libovsdb.UUID{GoUUID: iface},
		}},
		{Op: libovsdb.OperationInsert, Table: ovsdb.BridgeTable, UUIDName: bridge, Row: libovsdb.Row{
			"name": m.o.Bridge, "ports": libovsdb.OvsSet{GoSet: append(ports, libovsdb.UUID{GoUUID: port})}, "datapath_type": datapath,
			"fail_mode": ovsdb.BridgeFailModeSecure, "external_ids": ovsMap(ids),
			"other_config": ovsMap(map[string]string{"disable-in-band": "true"}),
		}},
		{Op: libovsdb.OperationMutate, Table: ovsdb.OpenvSwitchTable, Where: whereUUID(root), Mutations: []libovsdb.Mutation{
			{Column: "bridges", Mutator: libovsdb.MutateOperationInsert, Value: uuidSet(bridge)},
		}},
	}
}
