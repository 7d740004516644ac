// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	libovsdb "github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/vas-solutus/arca-network/pkg/vnet/ovsdb"
)

// A database that is new while ovs-vswitchd still runs must not show it, or
// ovn-controller, half of what there was: the one would remove the ports that are
// not there yet, with their OpenFlow numbers, and the other the flows of those
// that have no number. So the bridge comes back with all our ports in one
// transaction. Who owns them is asked again afterwards, as at each connection.

// remembered are the rows of our ports as a session last saw them.
type remembered []rows

// remember collects them. The session may be over.
func (s *session) remember() remembered {
	ifaces := s.cache.Table(ovsdb.InterfaceTable).RowsShallow()
	var all remembered
	for _, m := range s.cache.Table(ovsdb.PortTable).RowsShallow() {
		r := rows{port: m.(*ovsdb.Port)}
		if ownerOfIDs(r.port.ExternalIDs).UID == "" || len(r.port.Interfaces) != 1 {
			continue
		}
		if r.iface, _ = ifaces[r.port.Interfaces[0]].(*ovsdb.Interface); r.iface != nil {
			all = append(all, r)
		}
	}
	return all
}

// missingIn leaves out those whose names are taken in another session's database.
func (all remembered) missingIn(s *session) (remembered, error) {
	var missing remembered
	for _, r := range all {
		there, err := s.find(r.port.Name)
		if err != nil {
			return nil, err
		}
		if there.port == nil && there.iface == nil {
			missing = append(missing, r)
		}
	}
	return missing, nil
}

// ownIDs are the external_ids that this package writes; of the others, what is true
// of a new database is for their writers to say.
var ownIDs = []string{keyOwnerKind, keyOwnerName, keyOwnerUID, keyIfindex, keyTxOffload, keyIfaceID, keyAttachedMAC}

func onlyOwn(ids map[string]string) libovsdb.OvsMap {
	own := map[string]string{}
	for _, k := range ownIDs {
		own[k] = ids[k]
	}
	return ovsMap(own)
}

// insert makes the rows again and names the ports, for Bridge.ports. The OpenFlow
// number is ovs-vswitchd's to write, and it will; until then the one that it wrote
// last is what its bridge has.
func (all remembered) insert() (ops []libovsdb.Operation, ports []any) {
	for _, r := range all {
		made, port := insertRows(libovsdb.Row{
			"name": r.iface.Name, "type": r.iface.Type, "external_ids": onlyOwn(r.iface.ExternalIDs),
			"mac": optional(r.iface.MAC), "mtu_request": optional(r.iface.MTURequest), "ofport": optional(r.iface.Ofport),
		}, onlyOwn(r.port.ExternalIDs))
		ops, ports = append(ops, made...), append(ports, libovsdb.UUID{GoUUID: port})
	}
	return ops, ports
}
