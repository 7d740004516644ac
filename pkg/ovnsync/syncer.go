// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"

	"github.com/vas-solutus/arca-network/internal/ovsdbconn"
)

// Keys of external_ids that every row of ours carries.
const (
	KeyOwnerKind = "arca-owner-kind"
	KeyOwnerName = "arca-owner-name"
	KeyOwnerUID  = "arca-owner-uid"
	KeyRow       = "arca-row"
	// KeyMembers records in which sets of other rows the row has put a value:
	// what has to be taken out again is known from the database alone.
	KeyMembers = "arca-members"
	// KeyWhole names the set column whose values the row itself holds: no
	// other row puts values into it.
	KeyWhole = "arca-whole"
)

// ErrDisconnected says that the database does not answer. Nothing was read or
// written; an Event with All follows when it answers again.
var ErrDisconnected = ovsdbconn.ErrDisconnected

// MissingParentError says that a row of another owner, whose set a row is to
// be a member of or that it needs, is not there yet. Nothing was written.
type MissingParentError struct{ Table, ID string }

func (e *MissingParentError) Error() string {
	return fmt.Sprintf("row %s of table %s is not there yet", e.ID, e.Table)
}

// Options is what a Syncer works with.
type Options struct {
	// Endpoint of the database, "unix:/path" or "tcp:host:port"; several are
	// separated by commas.
	Endpoint string
	Log      logr.Logger
	// Timeout bounds each call of the database. Default: 10 s.
	Timeout time.Duration
	// Resync is how often everything is looked at again. Default: 10 min.
	Resync time.Duration
	// Held tells that OVN takes in nothing for now, so that nobody waits for it.
	// Nil: it always does.
	Held func() bool
}

// Event tells that rows may no longer be what their owner wants.
type Event struct {
	// All: every owner must be looked at, for the database was (re)connected
	// or it is time to. Owner is empty then.
	All bool
	// New: nothing was ever written to the database, or it was wiped. All is set.
	New   bool
	Owner Owner
	// Reason is for logs.
	Reason string
}

// Syncer makes the northbound database hold what owners want. Its three
// operations have the contract of a reconciler's target:
//
//   - Update makes rows the owner's only rows. It is idempotent; where nothing
//     differs nothing is sent. It returns after the commit is acknowledged.
//   - Delete removes all rows of an owner. An owner without rows is success.
//   - Prune removes the rows of owners that its caller does not know.
//
// After an error the caller tries again. None of them touches a row that does
// not carry our keys, or a column that no row of ours declares.
type Syncer struct {
	options Options
	queue   chan *change
	// tried is closed when Run has tried to connect: callers wait for that, since a
	// large database takes seconds to read.
	tried chan struct{}

	// early is what Begin makes for Run.
	early chan *session

	mu          sync.Mutex
	session     *session
	subscribers []func(Event)
}

// New returns a Syncer that does nothing until Run.
func New(o Options) (*Syncer, error) {
	if o.Endpoint == "" {
		return nil, errors.New("endpoint of the northbound database is empty")
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Resync == 0 {
		o.Resync = 10 * time.Minute
	}
	return &Syncer{options: o, queue: make(chan *change, maxBatch), tried: make(chan struct{})}, nil
}

// Subscribe calls fn for every event. fn must not block. Subscribe before Run.
func (s *Syncer) Subscribe(fn func(Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers = append(s.subscribers, fn)
}

func (s *Syncer) emit(e Event) {
	s.mu.Lock()
	subscribers := slices.Clone(s.subscribers)
	s.mu.Unlock()
	for _, fn := range subscribers {
		fn(e)
	}
}

// Delays between attempts to connect.
const (
	minRetry = 20 * time.Millisecond
	maxRetry = 2 * time.Second
)

// Begin has the database read ahead of Run, which goes on with it: what else has
// to start can do so meanwhile. Where it fails, Run tries again. Call it once,
// before Run.
func (s *Syncer) Begin(ctx context.Context) {
	early := make(chan *session, 1)
	s.early = early
	go func() {
		session, err := connect(ctx, s.options, s.emit)
		if err != nil {
			session = nil
		}
		early <- session
	}()
}

// connect returns what Begin has made, or connects.
func (s *Syncer) connect(ctx context.Context) (*session, error) {
	if early := s.early; early != nil {
		s.early = nil
		if session := <-early; session != nil {
			return session, nil
		}
	}
	return connect(ctx, s.options, s.emit)
}

// Run connects, and connects again, until ctx is done.
func (s *Syncer) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.write(ctx) })
	wg.Go(func() { s.resync(ctx) })
	tried := sync.OnceFunc(func() { close(s.tried) })
	defer tried()
	retry, failing := minRetry, false
	for ctx.Err() == nil {
		session, err := s.connect(ctx)
		if err != nil {
			tried()
			if !failing && ctx.Err() == nil {
				s.options.Log.Info("Northbound database does not answer; trying on", "endpoint", s.options.Endpoint, "error", err.Error())
				failing = true
			}
			pause(ctx, retry)
			retry = min(2*retry, maxRetry)
			continue
		}
		retry, failing = minRetry, false
		s.setSession(session)
		tried()
		s.options.Log.Info("Connected to the northbound database", "endpoint", s.options.Endpoint, "rows", session.Rows(), "new", session.fresh)
		s.emit(Event{All: true, New: session.fresh, Reason: "connected"})
		if why := session.Serve(ctx); why != nil {
			s.options.Log.Info("Connection to the northbound database was lost", "why", why.Error())
		}
		s.setSession(nil)
		session.Close()
		session.marks.end()
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

// resync asks everybody to look again, as a last resort against an event that
// was lost.
func (s *Syncer) resync(ctx context.Context) {
	t := time.NewTicker(s.options.Resync)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			s.emit(Event{All: true, Reason: "periodic"})
		}
	}
}

func (s *Syncer) setSession(session *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session = session
}

// current returns the session, or ErrDisconnected: a cache that is no longer
// fed is never read.
func (s *Syncer) current() (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil || !s.session.Alive() {
		return nil, ErrDisconnected
	}
	return s.session, nil
}

// Update makes rows the owner's only rows.
func (s *Syncer) Update(ctx context.Context, owner Owner, rows []Row) (changed bool, err error) {
	return s.submit(ctx, &change{owner: owner, rows: rows})
}

// Owned are the rows that an owner wants.
type Owned struct {
	Owner Owner
	Rows  []Row
}

// UpdateAll is Update for many owners, in as few transactions as may be and
// without letting OVN catch up in between: for a database that has lost
// everything. The failure of one ends nobody else's work; one of the errors is
// returned.
func (s *Syncer) UpdateAll(ctx context.Context, all []Owned) error {
	var g errgroup.Group
	g.SetLimit(2 * maxRestore)
	for _, o := range all {
		g.Go(func() error {
			_, err := s.submit(ctx, &change{owner: o.Owner, rows: o.Rows, unpaced: true})
			return err
		})
	}
	return g.Wait()
}

// Delete removes all rows of an owner.
func (s *Syncer) Delete(ctx context.Context, owner Owner) (changed bool, err error) {
	return s.submit(ctx, &change{owner: owner})
}

// Prune removes the rows of every owner that keep refuses, and values in our
// own sets that no row has declared.
func (s *Syncer) Prune(ctx context.Context, keep func(Owner) bool) (removed int, err error) {
	session, err := s.current()
	if err != nil {
		return 0, err
	}
	for owner, rows := range session.view().owners() {
		if keep(owner) {
			continue
		}
		if _, err := s.Delete(ctx, owner); err != nil {
			return removed, err
		}
		removed += rows
	}
	strays, err := s.submitStrays(ctx)
	return removed + strays, err
}

// PortUp tells whether OVN reports a logical switch port up.
func (s *Syncer) PortUp(name string) (up, found bool, err error) {
	session, err := s.current()
	if err != nil {
		return false, false, err
	}
	return session.view().portUp(name)
}

// Check asks the server whether it is there and returns the round-trip time.
func (s *Syncer) Check(ctx context.Context) (time.Duration, error) {
	session, err := s.current()
	if err != nil {
		return 0, err
	}
	return session.Echo(ctx)
}
