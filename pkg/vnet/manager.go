// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netns"
)

// Options configure a Manager.
type Options struct {
	// OVSSocket is the Open_vSwitch database, for example unix:/run/openvswitch/db.sock.
	OVSSocket string
	// Bridge is OVN's integration bridge, br-int if empty.
	Bridge string
	Log    logr.Logger
	// Timeout of one Update or Delete and of each call that it makes; 10 s if 0.
	Timeout time.Duration
	// Resync is how often an Event asks for all ports; 10 minutes if 0.
	Resync time.Duration
	// DatapathType of the bridge, system or netdev. Empty: an existing bridge
	// keeps one that works, else system where the kernel has it.
	DatapathType string
}

// Manager makes the ports of this host. See Update, Delete and Prune.
// All methods may be called from several goroutines.
type Manager struct {
	o      Options
	log    logr.Logger
	events *eventQueue

	mu      sync.Mutex
	session *session // nil while not connected
	entries map[string]*entry
	// byName finds the owner of a wanted interface name of the host, byPath
	// those of a namespace's path.
	byName map[string]string
	byPath map[string]map[string]struct{}
	// byNsid finds those with an inner end in a namespace.
	byNsid map[int]map[string]struct{}
	// removed are names whose OVS port was taken out a moment ago: ovs-vswitchd
	// may not have noticed, and would miss that a new one is another.
	removed map[string]time.Time
	info    Info

	host     netns.NsHandle
	pool     *connPool
	links    *linkWatch
	netns    *netnsWatch
	running  bool
	inflight sync.WaitGroup
	// making is held while a pair is made, and while a new one is opened: a write to disable_ipv6 does not sleep until
	// the kernel's rtnl lock is free, it is begun again and again.
	making sync.Mutex
	// busy counts operations at work.
	busy int
	// rowsFirstFrom is manyPorts, and less in tests.
	rowsFirstFrom int

	transactions   atomic.Uint64
	haveKernelPath sync.Once
	kernelPath     bool
}

// Info is what the Manager found out about the running OVS.
type Info struct {
	Connected  bool
	OVSVersion string
	// Chassis is OVN's name of this host, empty where nobody has set it.
	Chassis string
	// Epoch names one life of the Open_vSwitch database.
	Epoch string
	// Datapath is the bridge's datapath type.
	Datapath string
	// TSO says that ovs-vswitchd runs with userspace TSO; only meaningful for
	// the netdev datapath. A VMM opens its tap with vnet_hdr=on only where
	// KeepOffload says so.
	TSO bool
}

// New returns a Manager; nothing happens before Run.
func New(o Options) (*Manager, error) {
	if o.OVSSocket == "" {
		return nil, errors.New("vnet: OVSSocket must be set")
	}
	if o.Bridge == "" {
		o.Bridge = "br-int"
	}
	if err := checkName("Bridge", o.Bridge); err != nil {
		return nil, err
	}
	switch o.DatapathType {
	case "", DatapathSystem, DatapathNetdev:
	default:
		return nil, fmt.Errorf("vnet: DatapathType %q: want %q, %q or nothing", o.DatapathType, DatapathSystem, DatapathNetdev)
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Resync == 0 {
		o.Resync = 10 * time.Minute
	}
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	return &Manager{
		o: o, log: o.Log, events: newEventQueue(), rowsFirstFrom: manyPorts,
		entries: map[string]*entry{}, byName: map[string]string{},
		byPath: map[string]map[string]struct{}{}, byNsid: map[int]map[string]struct{}{}, removed: map[string]time.Time{},
	}, nil
}

// Run connects and stays connected, keeps the bridge and tells of changes until
// ctx ends. The host's namespace is the one that Run is called in. Ports are left
// as they are at the end.
func (m *Manager) Run(ctx context.Context) error {
	host, err := netns.Get()
	if err != nil {
		return fmt.Errorf("vnet: the host's network namespace: %w", err)
	}
	defer func() { _ = host.Close() }()
	nw, err := newNetnsWatch(m.onNetns)
	if err != nil {
		return fmt.Errorf("vnet: %w", err)
	}
	defer nw.close()
	lw := newLinkWatch(host, m.o.Timeout, m.onLink, func() { m.tellAll(LinksLost) })
	iw, err := newInnerWatch(host, m.onInner, func() { m.tellAll(LinksLost) })
	if err != nil {
		return fmt.Errorf("vnet: %w", err)
	}
	defer iw.close()
	pool := &connPool{ns: host, timeout: m.o.Timeout}
	defer pool.close()

	m.mu.Lock()
	if m.running {
		m.mu.Unlock()
		return errors.New("vnet: Run was called twice")
	}
	m.running = true
	m.host, m.pool, m.links, m.netns = host, pool, lw, nw
	for uid, e := range m.entries { // wanted before Run: their paths are not watched yet
		e.watched = ""
		m.watchPath(uid, e)
	}
	m.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make(chan error, 3)
	fail := func(what string, err error) {
		if err != nil {
			errs <- fmt.Errorf("vnet: %s: %w", what, err)
			cancel()
		}
	}
	synced := make(chan struct{})
	wg.Go(func() { m.events.run(ctx) })
	wg.Go(func() { fail("following links", lw.run(ctx, func() { close(synced) })) })
	wg.Go(func() { fail("following network namespaces", nw.run(ctx)) })
	wg.Go(func() { fail("following what is within network namespaces", iw.run(ctx)) })
	wg.Go(func() { m.resync(ctx) })
	select {
	case <-synced:
		m.keepConnected(ctx)
	case <-ctx.Done():
	}
	wg.Wait()

	m.mu.Lock()
	m.running = false
	m.mu.Unlock()
	m.inflight.Wait() // each has a deadline; they use what is closed next
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// resync asks for everything now and then: what no event tells of, such as the
// MTU of an inner end, is put right then.
func (m *Manager) resync(ctx context.Context) {
	t := time.NewTicker(m.o.Resync)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			m.tellAll(Periodic)
		}
	}
}

// Limits of the pause between attempts to connect. The socket is of this host: an
// attempt costs next to nothing, and ovs-vswitchd and ovn-controller, who must not
// be the first to see a new database, try a second after they lost the old one.
const (
	minBackoff = 20 * time.Millisecond
	maxBackoff = 100 * time.Millisecond
)

// keepConnected runs one session after the other.
func (m *Manager) keepConnected(ctx context.Context) {
	lastEpoch, backoff, reported := "", minBackoff, false
	var before remembered
	for ctx.Err() == nil {
		s, err := connect(ctx, m.o, rowEvents{m}, func() { m.transactions.Add(1) })
		if err == nil {
			var epoch string
			if epoch, _, err = m.prepare(ctx, s, before); err == nil {
				before = nil
				backoff, reported = minBackoff, false
				reason := Connected
				if lastEpoch != "" && lastEpoch != epoch {
					reason = Wiped
				}
				lastEpoch = epoch
				m.log.Info("connected to OVS", "socket", m.o.OVSSocket, "epoch", epoch, "wiped", reason == Wiped)
				m.tellAll(reason)
				m.keepBridge(ctx, s)
				before = s.remember()
			}
			m.mu.Lock()
			m.session, m.info.Connected = nil, false
			m.mu.Unlock()
			s.close()
			if err == nil && ctx.Err() == nil {
				m.log.Info("lost the connection to OVS", "socket", m.o.OVSSocket)
			}
		}
		if err != nil && ctx.Err() == nil && !reported {
			m.log.Error(err, "cannot connect to OVS; trying on", "socket", m.o.OVSSocket)
			reported = true
		}
		t := time.NewTimer(backoff)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		backoff = min(2*backoff, maxBackoff)
	}
}

// prepare makes the session usable: the bridge is there, in a new database with the
// ports of the one before.
func (m *Manager) prepare(ctx context.Context, s *session, before remembered) (epoch string, changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.o.Timeout)
	defer cancel()
	epoch, datapath, changed, err := m.ensureBridge(ctx, s, before)
	if err != nil {
		return "", false, err
	}
	info := Info{Connected: true, Epoch: epoch, Datapath: datapath}
	root, err := s.root()
	if err != nil {
		return "", false, err
	}
	if root != nil {
		info.Chassis = root.ExternalIDs[keyChassis]
		if root.OVSVersion != nil {
			info.OVSVersion = *root.OVSVersion
		}
	}
	// TSO follows when the bridge's device is there: see onLink.
	if info.TSO, err = m.readTSO(); err != nil {
		return "", false, err
	}
	m.mu.Lock()
	renamed := m.info.Connected && m.info.Chassis != info.Chassis
	m.info, m.session = info, s
	m.mu.Unlock()
	if renamed {
		m.log.Info("this host has another chassis name", "chassis", info.Chassis)
		m.tellAll(ChassisRenamed)
	}
	return epoch, changed, nil
}

// keepBridge looks after the bridge until the session ends.
func (m *Manager) keepBridge(ctx context.Context, s *session) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.down:
			return
		case <-s.kick:
		}
		_, changed, err := m.prepare(ctx, s, nil)
		switch {
		case err == nil && changed:
			m.log.Info("repaired the bridge", "bridge", m.o.Bridge)
			m.tellAll(BridgeRepaired)
		case err != nil && s.alive() && ctx.Err() == nil:
			m.log.Error(err, "cannot repair the bridge", "bridge", m.o.Bridge)
			return // with a new session there is a new attempt, after a pause
		}
	}
}

// readTSO reads what ovs-vswitchd runs with; off while it cannot be known, since
// offloads that are off work in either case.
func (m *Manager) readTSO() (bool, error) {
	on, _, err := vswitchdTSO(m.host, m.o.Bridge)
	return on, err
}

func (m *Manager) kernelDatapath() bool {
	m.haveKernelPath.Do(func() { m.kernelPath = kernelDatapath() })
	return m.kernelPath
}

// Info returns what is known about OVS.
func (m *Manager) Info() Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.info
}

// Chassis is OVN's name of this host, empty while it is not known.
func (m *Manager) Chassis() string { return m.Info().Chassis }

// keepOffload says whether inner ends keep their offloads.
func (m *Manager) keepOffload() bool {
	i := m.Info()
	return KeepOffload(OffloadFacts{Datapath: i.Datapath, TSO: i.TSO})
}

// Check reports what keeps ports from working: no database, no bridge, or a
// bridge that ovs-vswitchd could not make. Whether ovs-vswitchd lives is for
// who started it to watch.
func (m *Manager) Check(ctx context.Context) error {
	s, done, err := m.use()
	if err != nil {
		return err
	}
	defer done()
	if err := s.echo(ctx); err != nil {
		return err
	}
	b, err := s.bridgeRow()
	if err != nil {
		return err
	}
	if b == nil {
		return fmt.Errorf("bridge %s is missing in the Open_vSwitch database", m.o.Bridge)
	}
	r, err := s.find(m.o.Bridge)
	switch {
	case err != nil:
		return err
	case r.iface == nil || r.iface.Ofport == nil:
		return &VswitchdError{Waiting: "bridge " + m.o.Bridge, Err: errors.New("it was not made yet")}
	case r.iface.Error != nil:
		return fmt.Errorf("bridge %s: %s", m.o.Bridge, *r.iface.Error)
	}
	return nil
}

// Echo asks the database server for a sign of life, and returns how long that
// took.
func (m *Manager) Echo(ctx context.Context) (time.Duration, error) {
	s, done, err := m.use()
	if err != nil {
		return 0, err
	}
	defer done()
	from := time.Now()
	err = s.echo(ctx)
	return time.Since(from), err
}

// RoundTrip is how long ovs-vswitchd takes to do what the database says, by a
// change that changes nothing (Open_vSwitch.next_cfg).
func (m *Manager) RoundTrip(ctx context.Context) (time.Duration, error) {
	s, done, err := m.use()
	if err != nil {
		return 0, err
	}
	defer done()
	from := time.Now()
	if err := s.barrier(ctx); err != nil {
		return 0, err
	}
	return time.Since(from), nil
}

// use is how every operation begins: it needs a session and keeps Run from
// closing what it uses.
func (m *Manager) use() (*session, func(), error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.running || m.session == nil || !m.session.alive() {
		return nil, nil, ErrNotConnected
	}
	m.inflight.Add(1)
	return m.session, m.inflight.Done, nil
}

// tellAll has every port looked at again.
func (m *Manager) tellAll(r Reason) {
	m.mu.Lock()
	for _, e := range m.entries {
		e.told = true
	}
	m.mu.Unlock()
	m.events.emit(Event{All: true, Reason: r})
}

// tell has one port looked at again.
func (m *Manager) tell(o Owner, r Reason) {
	m.mu.Lock()
	if e := m.entries[o.UID]; e != nil && !reported(r) {
		e.told = true
	}
	m.mu.Unlock()
	m.events.emit(Event{Owner: o, Reason: r})
}

// reported says that an event is about what OVN or ovs-vswitchd have written of a
// port: it is news of the port's State, and nothing that Update would mend.
func reported(r Reason) bool { return r == OVNInstalled || r == PortStatus }
