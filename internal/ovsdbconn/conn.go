// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ovsdbconn owns what every connection to an OVSDB server needs: the
// model cut to the server's schema, a cache with indexes, a proof of life,
// transactions whose results are checked. It must not know what is in a
// database.
//
// A connection that is lost takes its cache along and the next one starts from
// a complete new picture, so that neither stale rows nor a purge without
// events (libovsdb's own reconnection has both) can mislead anybody.
package ovsdbconn

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"
)

// ErrDisconnected says that the server does not answer.
var ErrDisconnected = errors.New("the database server does not answer")

// Table is what a connection wants of one table.
type Table struct {
	// Model is a pointer to a generated struct.
	Model model.Model
	// Columns are the columns to follow; empty means all. A column that the
	// server's schema does not have is left out.
	Columns []string
	// Indexes are keys of external_ids to find rows by.
	Indexes []string
}

// Options says what to connect to.
type Options struct {
	Database string
	// Endpoint is "unix:/path" or "tcp:host:port"; several with commas.
	Endpoint string
	Tables   map[string]Table
	// Timeout bounds each call.
	Timeout time.Duration
	Log     logr.Logger
}

// Conn is one connection with its cache.
type Conn struct {
	Client client.Client
	Cache  *cache.TableCache
	Schema ovsdb.DatabaseSchema
	// Types are the types of rows, by table; tables that the server does not
	// have are not in it.
	Types map[string]reflect.Type

	options Options
	dead    atomic.Bool
}

// Connect connects, and fills the cache. Handlers hear of every change after
// the first picture.
func Connect(ctx context.Context, o Options, handler func(*Conn) cache.EventHandler) (_ *Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	schema, err := fetchSchema(ctx, o)
	if err != nil {
		return nil, err
	}
	models, types := adapt(schema, o.Tables)
	dbModel, err := model.NewClientDBModel(o.Database, models)
	if err != nil {
		return nil, err
	}
	indexes := map[string][]model.ClientIndex{}
	for table := range models {
		if schema.Table(table).Columns["external_ids"] == nil {
			continue
		}
		for _, key := range o.Tables[table].Indexes {
			indexes[table] = append(indexes[table], model.ClientIndex{Columns: []model.ColumnKey{{Column: "external_ids", Key: key}}})
		}
	}
	dbModel.SetIndexes(indexes)
	c, err := newClient(o, dbModel)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if err := Open(ctx, c); err != nil {
		return nil, err
	}
	monitor := c.NewMonitor()
	for name, t := range types {
		// Named one by one: without names the server would send all columns of
		// its schema, and one that the model lacks fails a whole update.
		monitor.Tables = append(monitor.Tables, client.TableMonitor{Table: name, Fields: columns(t)})
	}
	if err := Monitor(ctx, c, monitor); err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	conn := &Conn{Client: c, Cache: c.Cache(), Schema: c.Schema(), Types: types, options: o}
	if conn.Cache == nil { // lost meanwhile
		return nil, ErrDisconnected
	}
	conn.Cache.AddEventHandler(handler(conn))
	return conn, nil
}

func newClient(o Options, m model.ClientDBModel) (client.Client, error) {
	quiet := logr.Discard()
	options := []client.Option{client.WithLogger(&quiet)}
	for _, e := range strings.Split(o.Endpoint, ",") {
		options = append(options, client.WithEndpoint(e))
	}
	return client.NewOVSDBClient(m, options...)
}

// fetchSchema asks the server for its schema, over a connection without a
// model: which columns there are decides what the model can have.
func fetchSchema(ctx context.Context, o Options) (ovsdb.DatabaseSchema, error) {
	var none ovsdb.DatabaseSchema
	empty, err := model.NewClientDBModel(o.Database, nil)
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

// adapt makes the types of rows from generated ones, without the columns that
// nobody wants or the server's schema does not have.
func adapt(schema ovsdb.DatabaseSchema, tables map[string]Table) (map[string]model.Model, map[string]reflect.Type) {
	models, types := map[string]model.Model{}, map[string]reflect.Type{}
	for name, table := range tables {
		have := schema.Table(name)
		if have == nil {
			continue
		}
		t := reflect.TypeOf(table.Model).Elem()
		var fields []reflect.StructField
		for i := range t.NumField() {
			column := t.Field(i).Tag.Get("ovsdb")
			wanted := len(table.Columns) == 0 || slices.Contains(table.Columns, column)
			if column == "_uuid" || wanted && have.Columns[column] != nil {
				fields = append(fields, t.Field(i))
			}
		}
		if len(fields) < t.NumField() {
			t = reflect.StructOf(fields)
		}
		types[name] = t
		models[name] = reflect.New(t).Interface()
	}
	return models, types
}

// columns lists the columns of a type of rows.
func columns(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		if column := t.Field(i).Tag.Get("ovsdb"); column != "_uuid" {
			out = append(out, column)
		}
	}
	return out
}

// probeInterval is how often a connection proves that it lives. A server that
// hangs keeps its connections open.
const probeInterval = 5 * time.Second

// Serve returns when the connection is lost (why) or ctx is done (nil).
func (c *Conn) Serve(ctx context.Context) (why error) {
	lost := c.Client.DisconnectNotify()
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-lost:
			c.dead.Store(true)
			return ErrDisconnected
		case <-tick.C:
			if _, err := c.Echo(ctx); err != nil && ctx.Err() == nil {
				c.dead.Store(true)
				return err
			}
		}
	}
}

// Nothing is a transaction that changes nothing. It stands in for an echo:
// libovsdb's own reads a reply that comes after its deadline while it is being
// written, and does not tell whether the database itself is served.
func Nothing() ovsdb.Operation {
	text := ""
	return ovsdb.Operation{Op: ovsdb.OperationComment, Comment: &text}
}

// Echo asks the server whether it is there and returns the round-trip time.
func (c *Conn) Echo(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	from := time.Now()
	if _, err := Transact(ctx, c.Client, Nothing()); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	return time.Since(from), nil
}

// Alive tells whether the cache is still fed.
func (c *Conn) Alive() bool { return !c.dead.Load() && c.Client.Connected() }

// Close ends the connection.
func (c *Conn) Close() {
	c.dead.Store(true)
	Close(c.Client)
}

// Transactor is the part of a client that writes.
type Transactor interface {
	Transact(context.Context, ...ovsdb.Operation) ([]ovsdb.OperationResult, error)
}

// Transact is the client's, and ends with ctx. The client writes without a deadline:
// what is larger than the socket's buffer waits for a server that has been stopped.
// After an error it may be committed yet.
func Transact(ctx context.Context, c Transactor, ops ...ovsdb.Operation) ([]ovsdb.OperationResult, error) {
	return within(ctx, func() ([]ovsdb.OperationResult, error) { return c.Transact(ctx, ops...) })
}

// within returns what call does, or an error when ctx is done first; call goes on then.
func within[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		value, err := call()
		done <- answer{value, err}
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// Open connects a client, and uses its connection at once. Where a connection is lost
// before it was used, the client waits for its handlers while it starts them.
func Open(ctx context.Context, c client.Client) error {
	if err := c.Connect(ctx); err != nil {
		return err
	}
	_, err := Transact(ctx, c, Nothing())
	return err
}

// lateReply is how long a reply that nobody waits for any more may take.
const lateReply = 10 * time.Second

// Monitor is the client's, and ends with ctx. The client itself is told later: it reads
// what it has of a reply when its context ends, also while the reply is being decoded.
func Monitor(ctx context.Context, c client.Client, m *client.Monitor) error {
	call, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(lateReply, cancel) })
	_, err := within(ctx, func() (client.MonitorCookie, error) { return c.Monitor(call, m) })
	return err
}

// closeTimeout is how long Close waits for a client.
const closeTimeout = time.Second

// Close ends a client's connection. It does not wait long for one that is writing to
// a server that has been stopped: that ends when the server goes on or is killed.
func Close(c client.Client) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Close()
	}()
	t := time.NewTimer(closeTimeout)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}

// Rows counts the rows of the cache.
func (c *Conn) Rows() int {
	n := 0
	for table := range c.Types {
		n += c.Cache.Table(table).Len()
	}
	return n
}

// Transact commits operations in one transaction, and returns when the cache
// holds what they changed: the server sends changes before its reply to who
// made them, and the client applies messages in order.
func (c *Conn) Transact(ctx context.Context, ops []ovsdb.Operation) ([]ovsdb.OperationResult, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	results, err := Transact(ctx, c.Client, ops...)
	if err != nil {
		if errors.Is(err, client.ErrNotConnected) {
			c.dead.Store(true)
			return nil, ErrDisconnected
		}
		return nil, fmt.Errorf("transaction of %d operations: %w", len(ops), err)
	}
	if failed, err := ovsdb.CheckOperationResults(results, ops); err != nil {
		if len(failed) > 0 {
			return nil, fmt.Errorf("refused by the database: %w", failed[0])
		}
		return nil, fmt.Errorf("refused by the database: %w", err)
	}
	return results, nil
}

// Find returns the rows of a table whose external_ids hold a pair, by UUID.
// It is quick where the key is one of the table's Indexes.
func (c *Conn) Find(table, key, value string) map[string]model.Model {
	rows, err := c.Cache.Table(table).RowsByCondition([]ovsdb.Condition{{
		Column:   "external_ids",
		Function: ovsdb.ConditionIncludes,
		Value:    ovsdb.OvsMap{GoMap: map[any]any{key: value}},
	}})
	if err != nil {
		return nil // only for a table without external_ids
	}
	return rows
}

// ByName returns the row of a table whose schema has an index on name.
func (c *Conn) ByName(table, name string) (string, model.Model, error) {
	m := reflect.New(c.Types[table]).Interface()
	Column(m, "name").SetString(name)
	id, row, err := c.Cache.Table(table).RowByModel(m)
	if err != nil || row == nil || reflect.ValueOf(row).IsNil() {
		return "", nil, err
	}
	return id, row, nil
}
