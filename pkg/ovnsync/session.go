// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnsync

import (
	"context"

	"github.com/google/uuid"
	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/vas-solutus/arca-network/internal/ovsdbconn"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
)

const databaseName = "OVN_Northbound"

// monitored lists the tables that rows of ours are in. A table that an older
// schema does not have is left out.
var monitored = map[string]model.Model{
	nbdb.NBGlobalTable:                 &nbdb.NBGlobal{},
	nbdb.LogicalSwitchTable:            &nbdb.LogicalSwitch{},
	nbdb.LogicalSwitchPortTable:        &nbdb.LogicalSwitchPort{},
	nbdb.LogicalRouterTable:            &nbdb.LogicalRouter{},
	nbdb.LogicalRouterPortTable:        &nbdb.LogicalRouterPort{},
	nbdb.LogicalRouterPolicyTable:      &nbdb.LogicalRouterPolicy{},
	nbdb.GatewayChassisTable:           &nbdb.GatewayChassis{},
	nbdb.LogicalRouterStaticRouteTable: &nbdb.LogicalRouterStaticRoute{},
	nbdb.AddressSetTable:               &nbdb.AddressSet{},
	nbdb.PortGroupTable:                &nbdb.PortGroup{},
	nbdb.ACLTable:                      &nbdb.ACL{},
	nbdb.LoadBalancerTable:             &nbdb.LoadBalancer{},
	nbdb.LoadBalancerGroupTable:        &nbdb.LoadBalancerGroup{},
	nbdb.DHCPOptionsTable:              &nbdb.DHCPOptions{},
	nbdb.QoSTable:                      &nbdb.QoS{},
	nbdb.MeterTable:                    &nbdb.Meter{},
	nbdb.MeterBandTable:                &nbdb.MeterBand{},
}

// session is one connection to the northbound database.
type session struct {
	*ovsdbconn.Conn
	echo  *echoes
	marks marks
	spent spent
	fresh bool // the database had no epoch: it is new
}

// epochKey in NB_Global.external_ids tells a database that we have written to
// from one that was made anew.
const epochKey = "arca-epoch"

func connect(ctx context.Context, o Options, emit func(Event)) (*session, error) {
	tables := map[string]ovsdbconn.Table{}
	for name, m := range monitored {
		tables[name] = ovsdbconn.Table{Model: m, Indexes: []string{KeyOwnerUID, KeyRow}}
	}
	s := &session{}
	var err error
	s.Conn, err = ovsdbconn.Connect(ctx, ovsdbconn.Options{
		Database: databaseName, Endpoint: o.Endpoint, Tables: tables, Timeout: o.Timeout, Log: o.Log,
	}, func(c *ovsdbconn.Conn) cache.EventHandler {
		s.Conn = c
		s.echo = newEchoes(s, emit)
		return s.echo
	})
	if err != nil {
		return nil, err
	}
	if err := s.ensureEpoch(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// ensureEpoch marks the database as known.
func (s *session) ensureEpoch(ctx context.Context) error {
	epoch := ovsdbconn.Pairs(map[string]string{epochKey: uuid.NewString()})
	op := ovsdb.Operation{
		Op: ovsdb.OperationInsert, Table: nbdb.NBGlobalTable, UUIDName: "nb", Row: ovsdb.Row{"external_ids": epoch},
	}
	for id, m := range s.Cache.Table(nbdb.NBGlobalTable).RowsShallow() {
		if ovsdbconn.Map(m, "external_ids")[epochKey] != "" {
			return nil
		}
		op = ovsdbconn.Mutate(nbdb.NBGlobalTable, id, "external_ids", ovsdb.MutateOperationInsert, epoch)
	}
	s.fresh = true
	_, err := s.Transact(ctx, []ovsdb.Operation{op})
	return err
}
