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
		row, err := s.bridgeRow()
		if err != nil {
			return "", "", false, err
		}
		var ops []libovsdb.Operation
		ops, epoch, datapath, err = m.bridgeOps(s, row, before)
		if err != nil || len(ops) == 0 {
			return epoch, datapath, changed, err
		}
		if _, err = s.commit(ctx, ops); errors.Is(err, ErrNotConnected) || ctx.Err() != nil {
			break
		}
		changed = changed || err == nil
		if err == nil && row != nil {
			s.wg.Go(s.reconfigure)
		}
	}
	return "", "", false, fmt.Errorf("bridge %s: %w", m.o.Bridge, errors.Join(err, errUnsettled))
}

var errUnsettled = errors.New("its rows do not stay as they are written")

func (m *Manager) bridgeOps(s *session, row *ovsdb.Bridge, before remembered) (ops []libovsdb.Operation, epoch, datapath string, err error) {
	root, err := s.root()
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
	ops = append(ops, repairBridge(row, datapath)...)
	// ovn-controller does not expect to be refused a flow. The row is its own, which says
	// how to look up, or somebody's: only the limit goes.
	ops = append(ops, clearColumn(ovsdb.FlowTableTable, "flow_limit", s.limitedTables(row))...)
	// A port that takes what is mirrored takes nothing else.
	for _, uuid := range s.mirrorsOver(row) {
		ops = append(ops, libovsdb.Operation{Op: libovsdb.OperationMutate, Table: ovsdb.BridgeTable, Where: whereUUID(row.UUID), Mutations: []libovsdb.Mutation{
			{Column: "mirrors", Mutator: libovsdb.MutateOperationDelete, Value: uuidSet(uuid)},
		}})
	}
	local, err := s.find(m.o.Bridge)
	if err != nil {
		return nil, "", "", err
	}
	if local.port == nil && local.iface == nil {
		made, port := m.insertLocal()
		ops = append(append(ops, made...), putInto(row.UUID, uuidSet(port)))
	}
	if datapath == "" {
		datapath = DatapathSystem
	}
	return ops, epoch, datapath, nil
}

// spoken are the versions of OpenFlow that the bridge must speak: that of the flow which
// internal/openflow keeps in it, and ovn-controller's.
var spoken = []string{ovsdb.BridgeProtocolsOpenflow13, ovsdb.BridgeProtocolsOpenflow15}

// bridgeConfig is what other_config of the bridge must have, as ovn-controller would make
// it: in-band control puts flows above OVN's, which pass ARP and TCP of whatever
// controller somebody sets.
var bridgeConfig = map[string]string{"disable-in-band": "true"}

// repairBridge puts right what keeps the bridge of that row from being programmed or from
// forwarding. What does neither stays as somebody has set it: controllers, mirrors, monitoring,
// and what is about switches that learn.
func repairBridge(row *ovsdb.Bridge, datapath string) (ops []libovsdb.Operation) {
	want := libovsdb.Row{}
	if row.FailMode == nil || *row.FailMode != ovsdb.BridgeFailModeSecure {
		want["fail_mode"] = ovsdb.BridgeFailModeSecure
	}
	if row.DatapathType != datapath {
		want["datapath_type"] = datapath
	}
	// A spanning tree keeps every port from forwarding for 30 s, and new ones as well.
	if row.STPEnable {
		want["stp_enable"] = false
	}
	if row.RSTPEnable {
		want["rstp_enable"] = false
	}
	if len(want) != 0 {
		ops = append(ops, libovsdb.Operation{Op: libovsdb.OperationUpdate, Table: ovsdb.BridgeTable, Where: whereUUID(row.UUID), Row: want})
	}
	var muts []libovsdb.Mutation
	if len(row.Protocols) != 0 { // none means all
		var unspoken []any
		for _, p := range spoken {
			if !slices.Contains(row.Protocols, p) {
				unspoken = append(unspoken, p)
			}
		}
		if len(unspoken) != 0 {
			muts = append(muts, libovsdb.Mutation{Column: "protocols", Mutator: libovsdb.MutateOperationInsert, Value: libovsdb.OvsSet{GoSet: unspoken}})
		}
	}
	if d := diffIDs(bridgeConfig, row.OtherConfig); !d.empty() {
		muts = append(muts, d.mutations("other_config")...)
	}
	if len(muts) != 0 {
		ops = append(ops, libovsdb.Operation{Op: libovsdb.OperationMutate, Table: ovsdb.BridgeTable, Where: whereUUID(row.UUID), Mutations: muts})
	}
	return ops
}

// reconfigure has ovs-vswitchd look at its configuration once more when it has done a
// repair: only then it tells its datapath that a spanning tree is no more, and
// that goes on dropping what it dropped for it while such packets come (seen on 3.5.0).
func (s *session) reconfigure() {
	ctx, cancel := context.WithTimeout(s.ctx, s.timeout)
	defer cancel()
	if s.barrier(ctx) == nil {
		_ = s.barrier(ctx) // one that does not run has nothing in a datapath
	}
}

// clearColumn makes an optional column of rows empty.
func clearColumn(table, column string, uuids []string) (ops []libovsdb.Operation) {
	for _, uuid := range uuids {
		ops = append(ops, libovsdb.Operation{Op: libovsdb.OperationUpdate, Table: table, Where: whereUUID(uuid), Row: libovsdb.Row{column: emptySet()}})
	}
	return ops
}

// insertLocal makes the bridge's local port and names it. ovs-vswitchd has the device
// also without it, but tells of its state there.
func (m *Manager) insertLocal() (ops []libovsdb.Operation, port string) {
	return insertRows(libovsdb.Row{"name": m.o.Bridge, "type": "internal"}, ovsMap(nil))
}

// insertBridge makes the bridge with its local port, as ovs-vsctl add-br does, and
// with those of the named new ports.
// Without a controller a secure bridge forwards nothing, which is what is wanted
// until ovn-controller has programmed it.
func (m *Manager) insertBridge(root, datapath string, ports []any) []libovsdb.Operation {
	ops, port := m.insertLocal()
	bridge := newRowName()
	ids := map[string]string{keyOwnerKind: bridgeOwnerKind, keyOwnerName: m.o.Bridge}
	return append(ops,
		libovsdb.Operation{Op: libovsdb.OperationInsert, Table: ovsdb.BridgeTable, UUIDName: bridge, Row: libovsdb.Row{
			"name": m.o.Bridge, "ports": libovsdb.OvsSet{GoSet: append(ports, libovsdb.UUID{GoUUID: port})}, "datapath_type": datapath,
			"fail_mode": ovsdb.BridgeFailModeSecure, "external_ids": ovsMap(ids),
			"other_config": ovsMap(bridgeConfig),
		}},
		libovsdb.Operation{Op: libovsdb.OperationMutate, Table: ovsdb.OpenvSwitchTable, Where: whereUUID(root), Mutations: []libovsdb.Mutation{
			{Column: "bridges", Mutator: libovsdb.MutateOperationInsert, Value: uuidSet(bridge)},
		}},
	)
}
