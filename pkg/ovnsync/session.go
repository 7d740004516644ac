// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnsync

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"

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
	nbdb.LogicalRouterStaticRouteTable: &nbdb.LogicalRouterStaticRoute{},
	nbdb.AddressSetTable:               &nbdb.AddressSet{},
	nbdb.PortGroupTable:                &nbdb.PortGroup{},
	nbdb.ACLTable:                      &nbdb.ACL{},
	nbdb.LoadBalancerTable:             &nbdb.LoadBalancer{},
	nbdb.LoadBalancerGroupTable:        &nbdb.LoadBalancerGroup{},
	nbdb.DHCPOptionsTable:              &nbdb.DHCPOptions{},
	nbdb.QoSTable:                      &nbdb.QoS{},
}

// session is one connection with its cache. A connection that is lost takes
// its cache along: the next one starts from a complete new picture, so that
// neither stale rows nor a purge without events can mislead anybody.
type session struct {
	options Options
	client  client.Client
	cache   *cache.TableCache
	schema  ovsdb.DatabaseSchema
	types   map[string]reflect.Type // of rows, by table
	echo    *echoes
	fresh   bool // the database had no epoch: it is new
	dead    atomic.Bool
}

// epochKey in NB_Global.external_ids tells a database that we have written to
// from one that was made anew.
const epochKey = "arca-epoch"

func connect(ctx context.Context, o Options, emit func(Event)) (_ *session, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	schema, err := fetchSchema(ctx, o)
	if err != nil {
		return nil, err
	}
	models, types := adaptModels(schema)
	dbModel, err := model.NewClientDBModel(databaseName, models)
	if err != nil {
		return nil, err
	}
	indexes := map[string][]model.ClientIndex{}
	for table := range models {
		if schema.Table(table).Columns["external_ids"] == nil {
			continue
		}
		for _, key := range []string{KeyOwnerUID, KeyRow} {
			indexes[table] = append(indexes[table], model.ClientIndex{Columns: []model.ColumnKey{{Column: "external_ids", Key: key}}})
		}
	}
	dbModel.SetIndexes(indexes)
	c, err := newClient(o, dbModel)
	if err != nil {
		return nil, err
	}
	if err := c.Connect(ctx); err != nil {
		c.Close()
		return nil, err
	}
	s := &session{options: o, client: c, schema: c.Schema(), types: types, cache: c.Cache()}
	s.echo = newEchoes(s, emit)
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if _, err := c.MonitorAll(ctx); err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	s.cache.AddEventHandler(s.echo)
	return s, s.ensureEpoch(ctx)
}

func newClient(o Options, m model.ClientDBModel) (client.Client, error) {
	options := []client.Option{client.WithLogger(&o.Log)}
	for _, e := range strings.Split(o.Endpoint, ",") {
		options = append(options, client.WithEndpoint(e))
	}
	return client.NewOVSDBClient(m, options...)
}

// fetchSchema asks the server for its schema, over a connection without a
// model: which columns there are decides what the model can have.
func fetchSchema(ctx context.Context, o Options) (ovsdb.DatabaseSchema, error) {
	var none ovsdb.DatabaseSchema
	empty, err := model.NewClientDBModel(databaseName, nil)
	if err != nil {
		return none, err
	}
	c, err := newClient(o, empty)
	if err != nil {
		return none, err
	}
	defer c.Close()
	if err := c.Connect(ctx); err != nil {
		return none, err
	}
	return c.Schema(), nil
}

// adaptModels makes the types of rows from those of package nbdb, without the
// columns that the server's schema does not have.
func adaptModels(schema ovsdb.DatabaseSchema) (map[string]model.Model, map[string]reflect.Type) {
	models, types := map[string]model.Model{}, map[string]reflect.Type{}
	for table, m := range monitored {
		have := schema.Table(table)
		if have == nil {
			continue
		}
		t := reflect.TypeOf(m).Elem()
		var fields []reflect.StructField
		for i := range t.NumField() {
			column := t.Field(i).Tag.Get("ovsdb")
			if column == "_uuid" || have.Columns[column] != nil {
				fields = append(fields, t.Field(i))
			}
		}
		if len(fields) < t.NumField() {
			t = reflect.StructOf(fields)
		}
		types[table] = t
		models[table] = reflect.New(t).Interface()
	}
	return models, types
}

// ensureEpoch marks the database as known.
func (s *session) ensureEpoch(ctx context.Context) error {
	rows := s.cache.Table(nbdb.NBGlobalTable).RowsShallow()
	for id, m := range rows {
		ids := column(m, "external_ids").Interface().(map[string]string)
		if ids[epochKey] != "" {
			return nil
		}
		s.fresh = true
		return s.commit(ctx, []ovsdb.Operation{mutate(nbdb.NBGlobalTable, id, "external_ids", ovsdb.MutateOperationInsert,
			ovsdb.OvsMap{GoMap: map[any]any{epochKey: uuid.NewString()}})})
	}
	s.fresh = true
	return s.commit(ctx, []ovsdb.Operation{{
		Op: ovsdb.OperationInsert, Table: nbdb.NBGlobalTable, UUIDName: "nb",
		Row: ovsdb.Row{"external_ids": ovsdb.OvsMap{GoMap: map[any]any{epochKey: uuid.NewString()}}},
	}})
}

// probeInterval is how often a connection proves that it lives. A server that
// hangs keeps its connections open.
const probeInterval = 5 * time.Second

// serve returns when the connection is lost or ctx is done.
func (s *session) serve(ctx context.Context) {
	lost := s.client.DisconnectNotify()
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-lost:
			s.options.Log.Info("Connection to the northbound database was lost")
			s.dead.Store(true)
			return
		case <-tick.C:
			probe, cancel := context.WithTimeout(ctx, s.options.Timeout)
			err := s.client.Echo(probe)
			cancel()
			if err != nil && ctx.Err() == nil {
				s.options.Log.Info("Northbound database does not answer; connecting again", "error", err.Error())
				s.dead.Store(true)
				return
			}
		}
	}
}

func (s *session) alive() bool { return !s.dead.Load() && s.client.Connected() }

func (s *session) close() {
	s.dead.Store(true)
	s.client.Close()
}

func (s *session) rows() int {
	n := 0
	for table := range s.types {
		n += s.cache.Table(table).Len()
	}
	return n
}

// commit sends one transaction and returns when it is committed and the cache
// holds it. The server sends the changes before its reply to who made them
// (ovsdb-server(7)), and the client applies messages in order.
func (s *session) commit(ctx context.Context, ops []ovsdb.Operation) error {
	_, err := s.transact(ctx, ops)
	return err
}

func (s *session) transact(ctx context.Context, ops []ovsdb.Operation) ([]ovsdb.OperationResult, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	results, err := s.client.Transact(ctx, ops...)
	if err != nil {
		if errors.Is(err, client.ErrNotConnected) {
			s.dead.Store(true)
			return nil, ErrDisconnected
		}
		return nil, fmt.Errorf("transaction of %d operations: %w", len(ops), err)
	}
	if failed, err := ovsdb.CheckOperationResults(results, ops); err != nil {
		if len(failed) > 0 {
			return nil, fmt.Errorf("refused by the northbound database: %w", failed[0])
		}
		return nil, fmt.Errorf("refused by the northbound database: %w", err)
	}
	return results, nil
}

// column returns a row's value of a column, or the zero Value where the
// server's schema does not have it.
func column(m model.Model, name string) reflect.Value {
	v := reflect.ValueOf(m).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("ovsdb") == name {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

func mutate(table, id, column string, mutator ovsdb.Mutator, value any) ovsdb.Operation {
	return ovsdb.Operation{
		Op: ovsdb.OperationMutate, Table: table, Where: byUUID(id),
		Mutations: []ovsdb.Mutation{{Column: column, Mutator: mutator, Value: value}},
	}
}

func byUUID(id string) []ovsdb.Condition {
	return []ovsdb.Condition{{Column: "_uuid", Function: ovsdb.ConditionEqual, Value: ovsdb.UUID{GoUUID: id}}}
}
