// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
	libovsdb "github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/vas-solutus/arca-network/internal/ovsdbconn"
	"github.com/vas-solutus/arca-network/pkg/vnet/ovsdb"
)

// session is one connection to the Open_vSwitch database with a copy of the
// columns that matter here. libovsdb's own reconnecting is not used: it purges
// its copy without telling, serves old rows meanwhile, and Connected() stays
// true. A session that loses its connection is over, and the next one starts
// from nothing.
type session struct {
	client  client.Client
	cache   *cache.TableCache
	commits *committer
	bridge  string
	timeout time.Duration

	// ctx ends with the session, so that no call outlives it.
	ctx    context.Context
	cancel context.CancelFunc
	down   <-chan struct{}
	wg     sync.WaitGroup
	// kick asks for another look at the bridge.
	kick chan struct{}

	cfgMu sync.Mutex
	// curCfg is Open_vSwitch.cur_cfg; cfgWait is closed when it changes.
	curCfg  int
	cfgWait chan struct{}
}

// probeEvery is how often a silent connection is tried: a hung server does not
// close it.
const probeEvery = 5 * time.Second

func connect(ctx context.Context, o Options, events cache.EventHandler, sent func()) (*session, error) {
	dbModel, err := ovsdb.FullDatabaseModel()
	if err != nil {
		return nil, fmt.Errorf("database model: %w", err)
	}
	byUID := []model.ClientIndex{{Columns: []model.ColumnKey{{Column: "external_ids", Key: keyOwnerUID}}}}
	dbModel.SetIndexes(map[string][]model.ClientIndex{ovsdb.PortTable: byUID, ovsdb.InterfaceTable: byUID})

	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	quiet := logr.Discard()
	c, err := client.NewOVSDBClient(dbModel, client.WithEndpoint(o.OVSSocket), client.WithLogger(&quiet))
	if err != nil {
		return nil, fmt.Errorf("OVSDB client for %s: %w", o.OVSSocket, err)
	}
	s := &session{
		client: c, bridge: o.Bridge, timeout: o.Timeout,
		kick: make(chan struct{}, 1), cfgWait: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.down = s.ctx.Done()
	s.commits = newCommitter(s.ctx, c, s, o.Timeout, sent)
	if err := ovsdbconn.Open(ctx, c); err != nil {
		s.close()
		return nil, err
	}
	s.wg.Go(s.watchConnection)
	s.cache = c.Cache()
	if s.cache == nil {
		s.close()
		return nil, ErrNotConnected
	}
	s.cache.AddEventHandler(&cache.EventHandlerFuncs{
		AddFunc: func(t string, r model.Model) { s.onRoot(nil, r); events.OnAdd(t, r) },
		UpdateFunc: func(t string, old, r model.Model) {
			s.onRoot(old, r)
			events.OnUpdate(t, old, r)
		},
		DeleteFunc: events.OnDelete,
	})
	var (
		root   ovsdb.OpenvSwitch
		bridge ovsdb.Bridge
		port   ovsdb.Port
		iface  ovsdb.Interface
		table  ovsdb.FlowTable
		mirror ovsdb.Mirror
	)
	// Columns chosen with care: statistics change every five seconds for every
	// port, and Bridge.ports is as long as there are ports.
	err = ovsdbconn.Monitor(ctx, c, c.NewMonitor(
		client.WithTable(&root, &root.CurCfg, &root.ExternalIDs, &root.OtherConfig, &root.DatapathTypes, &root.OVSVersion),
		client.WithTable(&bridge, &bridge.Name, &bridge.FailMode, &bridge.DatapathType, &bridge.ExternalIDs,
			&bridge.Protocols, &bridge.STPEnable, &bridge.RSTPEnable, &bridge.OtherConfig, &bridge.FlowTables, &bridge.Mirrors),
		client.WithTable(&table, &table.FlowLimit),
		client.WithTable(&mirror, &mirror.OutputPort),
		client.WithTable(&port, &port.Name, &port.Interfaces, &port.ExternalIDs, &port.Tag, &port.Trunks, &port.VLANMode),
		client.WithTable(&iface, &iface.Name, &iface.Type, &iface.ExternalIDs, &iface.Error, &iface.Ofport, &iface.MAC, &iface.MTURequest),
	))
	if err != nil {
		s.close()
		return nil, fmt.Errorf("monitoring the Open_vSwitch database: %w", err)
	}
	s.wg.Go(s.commits.run)
	s.wg.Go(s.probe)
	return s, nil
}

// end marks the session as over; safe to call from its own goroutines.
func (s *session) end() { s.cancel() }

func (s *session) close() {
	s.end()
	ovsdbconn.Close(s.client)
	s.wg.Wait()
}

func (s *session) alive() bool {
	select {
	case <-s.down:
		return false
	default:
		return true
	}
}

func (s *session) watchConnection() {
	select {
	case <-s.client.DisconnectNotify():
	case <-s.down:
	}
	s.end()
}

func (s *session) probe() {
	t := time.NewTicker(probeEvery)
	defer t.Stop()
	for {
		select {
		case <-s.down:
			return
		case <-t.C:
			if s.echo(s.ctx) != nil {
				s.end()
			}
		}
	}
}

// echo asks the server for a sign of life.
func (s *session) echo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if _, err := ovsdbconn.Transact(ctx, s.client, ovsdbconn.Nothing()); err != nil {
		return fmt.Errorf("%w: %w", ErrNotConnected, err)
	}
	return nil
}

// find is the rows of that name. Both columns are indexes of the schema.
func (s *session) find(name string) (rows, error) {
	var r rows
	if !s.alive() {
		return r, ErrNotConnected
	}
	_, m, err := s.cache.Table(ovsdb.PortTable).RowByModel(&ovsdb.Port{Name: name})
	if err != nil {
		return r, fmt.Errorf("looking up Port %s: %w", name, err)
	}
	r.port, _ = m.(*ovsdb.Port)
	_, m, err = s.cache.Table(ovsdb.InterfaceTable).RowByModel(&ovsdb.Interface{Name: name})
	if err != nil {
		return r, fmt.Errorf("looking up Interface %s: %w", name, err)
	}
	r.iface, _ = m.(*ovsdb.Interface)
	return r, nil
}

// ownedNames are the names of the ports with the owner's mark on either row.
func (s *session) ownedNames(uid string) (map[string]struct{}, error) {
	if !s.alive() {
		return nil, ErrNotConnected
	}
	ids := map[string]string{keyOwnerUID: uid}
	names := map[string]struct{}{}
	found, err := s.cache.Table(ovsdb.PortTable).RowsByModels([]model.Model{&ovsdb.Port{ExternalIDs: ids}})
	if err != nil {
		return nil, fmt.Errorf("looking up ports of owner %s: %w", uid, err)
	}
	for _, m := range found {
		if p := m.(*ovsdb.Port); p.ExternalIDs[keyOwnerUID] == uid {
			names[p.Name] = struct{}{}
		}
	}
	found, err = s.cache.Table(ovsdb.InterfaceTable).RowsByModels([]model.Model{&ovsdb.Interface{ExternalIDs: ids}})
	if err != nil {
		return nil, fmt.Errorf("looking up interfaces of owner %s: %w", uid, err)
	}
	for _, m := range found {
		if i := m.(*ovsdb.Interface); i.ExternalIDs[keyOwnerUID] == uid {
			names[i.Name] = struct{}{}
		}
	}
	return names, nil
}

// owners are all owners that have a mark on a row.
func (s *session) owners() (map[string]Owner, error) {
	if !s.alive() {
		return nil, ErrNotConnected
	}
	out := map[string]Owner{}
	add := func(ids map[string]string) {
		if o := ownerOfIDs(ids); o.UID != "" {
			out[o.UID] = o
		}
	}
	for _, m := range s.cache.Table(ovsdb.InterfaceTable).RowsShallow() {
		add(m.(*ovsdb.Interface).ExternalIDs)
	}
	for _, m := range s.cache.Table(ovsdb.PortTable).RowsShallow() {
		add(m.(*ovsdb.Port).ExternalIDs)
	}
	return out, nil
}

// root is the one row of table Open_vSwitch, nil if there is none.
func (s *session) root() (*ovsdb.OpenvSwitch, error) {
	if !s.alive() {
		return nil, ErrNotConnected
	}
	for _, m := range s.cache.Table(ovsdb.OpenvSwitchTable).Rows() {
		return m.(*ovsdb.OpenvSwitch), nil
	}
	return nil, nil
}

// bridgeRow is the row of our bridge, nil if there is none.
func (s *session) bridgeRow() (*ovsdb.Bridge, error) {
	if !s.alive() {
		return nil, ErrNotConnected
	}
	_, m, err := s.cache.Table(ovsdb.BridgeTable).RowByModel(&ovsdb.Bridge{Name: s.bridge})
	if err != nil {
		return nil, fmt.Errorf("looking up Bridge %s: %w", s.bridge, err)
	}
	b, _ := m.(*ovsdb.Bridge)
	return b, nil
}

// limitedTables are the rows of the bridge's flow tables that bound how many flows
// one takes, sorted.
func (s *session) limitedTables(bridge *ovsdb.Bridge) []string {
	var limited []string
	for _, uuid := range slices.Sorted(maps.Values(bridge.FlowTables)) {
		if t, ok := s.cache.Table(ovsdb.FlowTableTable).Row(uuid).(*ovsdb.FlowTable); ok && t.FlowLimit != nil {
			limited = append(limited, uuid)
		}
	}
	return slices.Compact(limited)
}

// mirrorsOver are the bridge's mirrors whose output is a port of ours, sorted.
func (s *session) mirrorsOver(bridge *ovsdb.Bridge) []string {
	var over []string
	for _, uuid := range slices.Sorted(slices.Values(bridge.Mirrors)) {
		m, ok := s.cache.Table(ovsdb.MirrorTable).Row(uuid).(*ovsdb.Mirror)
		if !ok || m.OutputPort == nil {
			continue
		}
		if p, ok := s.cache.Table(ovsdb.PortTable).Row(*m.OutputPort).(*ovsdb.Port); ok && ownerOfIDs(p.ExternalIDs).UID != "" {
			over = append(over, uuid)
		}
	}
	return over
}

func (s *session) commit(ctx context.Context, ops []libovsdb.Operation) ([]libovsdb.OperationResult, error) {
	return s.commits.do(ctx, ops)
}

// onRoot follows cur_cfg.
func (s *session) onRoot(_, row model.Model) {
	root, ok := row.(*ovsdb.OpenvSwitch)
	if !ok {
		return
	}
	s.cfgMu.Lock()
	defer s.cfgMu.Unlock()
	if s.curCfg != root.CurCfg {
		s.curCfg = root.CurCfg
		close(s.cfgWait)
		s.cfgWait = make(chan struct{})
	}
}

// barrier returns when ovs-vswitchd has done all that was committed before.
func (s *session) barrier(ctx context.Context) error {
	if !s.alive() {
		return ErrNotConnected
	}
	ops := s.bump()
	if ops == nil {
		return errors.New("table Open_vSwitch is empty")
	}
	res, err := s.commit(ctx, ops)
	if err != nil {
		return err
	}
	return s.await(ctx, res)
}

// bump gives the configuration the next number. It is nil where table
// Open_vSwitch is empty.
func (s *session) bump() []libovsdb.Operation {
	if s.cache == nil {
		return nil
	}
	for id := range s.cache.Table(ovsdb.OpenvSwitchTable).RowsShallow() {
		return bumpConfig(id)
	}
	return nil
}

// await returns when ovs-vswitchd has done the configuration that the results
// of bump's operations number.
func (s *session) await(ctx context.Context, res []libovsdb.OperationResult) error {
	want, err := bumpedConfig(res[1])
	if err != nil {
		return err
	}
	for {
		s.cfgMu.Lock()
		cur, changed := s.curCfg, s.cfgWait
		s.cfgMu.Unlock()
		if cur >= want {
			return nil
		}
		select {
		case <-changed:
		case <-s.down:
			return ErrNotConnected
		case <-ctx.Done():
			return &VswitchdError{Waiting: fmt.Sprintf("configuration %d", want), Err: ctx.Err()}
		}
	}
}

// kickBridge asks for another look at the bridge.
func (s *session) kickBridge() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}
