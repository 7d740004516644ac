// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink"

	"github.com/vas-solutus/arca-network/internal/ovsdbconn"
)

// ErrDisconnected says that the Open_vSwitch database does not answer. An
// Event with All follows when it answers again.
var ErrDisconnected = ovsdbconn.ErrDisconnected

// maxName is the length of an interface's name without its final NUL.
const maxName = 15

// Options is what a Manager works with.
type Options struct {
	// OVSSocket is the Open_vSwitch database, "unix:/path".
	OVSSocket string
	// Bridge is the integration bridge. Default: br-int.
	Bridge string
	Log    logr.Logger
	// Timeout bounds each call of the database. Default: 10 s.
	Timeout time.Duration
	// Resync is how often everything is looked at again. Default: 10 min.
	Resync time.Duration
}

// State is what is known of a port.
type State struct {
	// OVNInstalled: ovn-controller has installed all flows of the port.
	OVNInstalled bool
	// OFPort is the OpenFlow port number; 0 while there is none yet.
	OFPort int
	// Error is what ovs-vswitchd says against the interface.
	Error string
}

// Event tells that a port may no longer be as it should, or that its State has
// changed.
type Event struct {
	// All: every port must be looked at. Owner is empty then.
	All   bool
	Owner Owner
	// Reason is for logs.
	Reason string
}

// Manager makes the ports of this host what their owners want. Its operations
// have the contract of a reconciler's target: Update and Delete are idempotent
// and tried again by their caller after an error; what does not carry our mark
// is never touched.
type Manager struct {
	options Options
	host    *netlink.Handle
	queue   chan *change

	mu          sync.Mutex
	session     *session
	subscribers []func(Event)
	ports       map[string]*tracked // by UID
	linkOwners  map[string]Owner    // by name of an interface of the host
}

// tracked is what the events of a port need to know of it.
type tracked struct {
	owner Owner
	link  string
	netns string
	inode uint64 // of the namespace that the inner end was put in; 0: it is awaited
}

// New returns a Manager that does nothing until Run.
func New(o Options) (*Manager, error) {
	if o.OVSSocket == "" {
		return nil, errors.New("socket of the Open_vSwitch database is empty")
	}
	if o.Bridge == "" {
		o.Bridge = "br-int"
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Resync == 0 {
		o.Resync = 10 * time.Minute
	}
	return &Manager{
		options:    o,
		queue:      make(chan *change, maxBatch),
		ports:      map[string]*tracked{},
		linkOwners: map[string]Owner{},
	}, nil
}

// Subscribe calls fn for every event. fn must not block. Subscribe before Run.
func (m *Manager) Subscribe(fn func(Event)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.subscribers = append(m.subscribers, fn)
}

func (m *Manager) emit(e Event) {
	m.mu.Lock()
	subscribers := slices.Clone(m.subscribers)
	m.mu.Unlock()
	for _, fn := range subscribers {
		fn(e)
	}
}

// Delays between attempts to connect.
const (
	minRetry = 20 * time.Millisecond
	maxRetry = 2 * time.Second
)

// Run connects, makes sure of the bridge, and watches, until ctx is done.
func (m *Manager) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { m.write(ctx) })
	wg.Go(func() { m.resync(ctx) })
	if err := m.watchLinks(ctx, &wg); err != nil {
		return err
	}
	if err := m.watchNamespaces(ctx, &wg); err != nil {
		return err
	}
	retry, failing := minRetry, false
	for ctx.Err() == nil {
		s, err := m.connect(ctx)
		if err != nil {
			if !failing && ctx.Err() == nil {
				m.options.Log.Info("Open_vSwitch database does not answer; trying on", "endpoint", m.options.OVSSocket, "error", err.Error())
				failing = true
			}
			pause(ctx, retry)
			retry = min(2*retry, maxRetry)
			continue
		}
		retry, failing = minRetry, false
		m.setSession(s)
		m.options.Log.Info("Connected to the Open_vSwitch database", "endpoint", m.options.OVSSocket, "offloads", s.offloads)
		m.emit(Event{All: true, Reason: "connected"})
		if why := s.Serve(ctx); why != nil {
			m.options.Log.Info("Connection to the Open_vSwitch database was lost", "why", why.Error())
		}
		m.setSession(nil)
		s.Close()
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// resync asks everybody to look again: what is edited inside of a container's
// namespace has no event here.
func (m *Manager) resync(ctx context.Context) {
	t := time.NewTicker(m.options.Resync)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			m.emit(Event{All: true, Reason: "periodic"})
		}
	}
}

func (m *Manager) setSession(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.session = s
}

func (m *Manager) current() (*session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session == nil || !m.session.Alive() {
		return nil, ErrDisconnected
	}
	return m.session, nil
}

// awaitSession is current for who starts before the first connection.
func (m *Manager) awaitSession(ctx context.Context) (*session, error) {
	for {
		s, err := m.current()
		if err == nil || ctx.Err() != nil {
			return s, err
		}
		pause(ctx, minRetry)
	}
}

// Update makes a port what it should be and returns what is known of it.
func (m *Manager) Update(ctx context.Context, p Port) (State, error) {
	if len(p.Name) == 0 || len(p.Name) > maxName {
		return State{}, fmt.Errorf("port name %q has %d bytes: must have 1 to %d", p.Name, len(p.Name), maxName)
	}
	s, err := m.current()
	if err != nil {
		return State{}, err
	}
	m.track(p)
	if err := s.free(p); err != nil {
		return State{}, err
	}
	before := s.addressesOf(p.Name)
	if err := m.ensureLink(ctx, s, p, before); err != nil {
		return State{}, err
	}
	if err := m.submit(ctx, p.Owner.UID, func(s *session) ([]operation, error) { return s.planPort(p) }); err != nil {
		return State{}, err
	}
	if p.Type == Internal {
		if err := m.configureInternal(p, before); err != nil {
			return State{}, err
		}
	}
	return s.state(p.Name), nil
}

// Delete removes an owner's port: its rows and its link.
func (m *Manager) Delete(ctx context.Context, uid string) error {
	s, err := m.current()
	if err != nil {
		return err
	}
	names := s.namesOf(uid)
	m.mu.Lock()
	if t := m.ports[uid]; t != nil && !slices.Contains(names, t.link) {
		names = append(names, t.link)
	}
	m.mu.Unlock()
	if err := m.submit(ctx, uid, func(s *session) ([]operation, error) { return s.planDelete(uid), nil }); err != nil {
		return err
	}
	for _, name := range names {
		if err := m.removeLink(name, uid); err != nil {
			return err
		}
	}
	m.forget(uid)
	return nil
}

// Prune removes the ports of owners that keep refuses, and links with our mark
// that belong to none.
func (m *Manager) Prune(ctx context.Context, keep func(Owner) bool) (removed int, err error) {
	s, err := m.awaitSession(ctx)
	if err != nil {
		return 0, err
	}
	for _, o := range s.owners() {
		if keep(o) {
			continue
		}
		if err := m.Delete(ctx, o.UID); err != nil {
			return removed, err
		}
		removed++
	}
	links, err := m.host.LinkList()
	if err != nil {
		return removed, fmt.Errorf("listing interfaces: %w", err)
	}
	for _, l := range links {
		o, ours := parseMark(l.Attrs().Alias)
		if !ours || keep(o) {
			continue
		}
		if err := m.removeLink(l.Attrs().Name, o.UID); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// Check asks the database whether it is there and returns the round-trip time.
func (m *Manager) Check(ctx context.Context) (time.Duration, error) {
	s, err := m.current()
	if err != nil {
		return 0, err
	}
	return s.Echo(ctx)
}

func (m *Manager) track(p Port) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.ports[p.Owner.UID]
	if t == nil || t.link != p.Name || t.netns != p.Netns {
		t = &tracked{owner: p.Owner, link: p.Name, netns: p.Netns}
		m.ports[p.Owner.UID] = t
	}
	m.linkOwners[p.Name] = p.Owner
}

func (m *Manager) forget(uid string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.ports[uid]; t != nil {
		delete(m.ports, uid)
		if m.linkOwners[t.link].UID == uid {
			delete(m.linkOwners, t.link)
		}
	}
}
