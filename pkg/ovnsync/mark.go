// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnsync

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/vas-solutus/arca-network/internal/ovsdbconn"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
)

// Mark is a point in the northbound database's life: a value of
// NB_Global.nb_cfg. ovn-northd and ovn-controller hand it on when they have
// done all that was committed before it.
type Mark struct {
	session *session
	cfg     int
	since   time.Time
}

// Mark commits a new mark. It is one small transaction, and delays other
// callers by no more than that.
func (s *Syncer) Mark(ctx context.Context) (*Mark, error) {
	session, err := s.current()
	if err != nil {
		return nil, err
	}
	m := &Mark{session: session, since: time.Now()}
	if _, err := s.submit(ctx, &change{mark: true}); err != nil {
		return nil, err
	}
	// The cache holds what was committed. Where others mark too, theirs may be
	// in it already: it comes later, and so will do.
	row, found := session.global()
	if !found {
		return nil, errNoGlobal
	}
	m.cfg = row.nb
	return m, nil
}

// Age is how long ago the mark was made.
func (m *Mark) Age() time.Duration { return time.Since(m.since) }

// Wait returns when all switches have what was committed before the mark; with
// ErrDisconnected where the connection ends first, for what was marked may be
// gone; and at ctx's end with an error that says who has not answered.
func (m *Mark) Wait(ctx context.Context) error {
	for {
		// Asked for before looking, so that nothing is missed in between.
		changed := m.session.marks.next()
		row, found := m.session.global()
		switch {
		case !m.session.Alive():
			return ErrDisconnected
		case !found:
			return errNoGlobal
		case row.hv >= m.cfg:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			who := "ovn-controller"
			if row.sb < m.cfg {
				who = "ovn-northd"
			}
			return fmt.Errorf("%s has not answered for %v: nb_cfg %d, sb_cfg %d, hv_cfg %d: %w",
				who, m.Age().Round(time.Millisecond), m.cfg, row.sb, row.hv, ctx.Err())
		}
	}
}

var errNoGlobal = fmt.Errorf("table %s is empty", nbdb.NBGlobalTable)

// global is what the database says about marks.
type global struct{ nb, sb, hv int }

func (s *session) global() (g global, found bool) {
	for _, m := range s.Cache.Table(nbdb.NBGlobalTable).RowsShallow() {
		for column, into := range map[string]*int{"nb_cfg": &g.nb, "sb_cfg": &g.sb, "hv_cfg": &g.hv} {
			*into, _ = ovsdbconn.Column(m, column).Interface().(int)
		}
		return g, true
	}
	return g, false
}

func (s *session) markOps() []ovsdb.Operation {
	for id := range s.Cache.Table(nbdb.NBGlobalTable).RowsShallow() {
		return []ovsdb.Operation{ovsdbconn.Mutate(nbdb.NBGlobalTable, id, "nb_cfg", ovsdb.MutateOperationAdd, 1)}
	}
	return nil
}

// marks wakes those who wait for marks.
type marks struct {
	mu    sync.Mutex
	wake  chan struct{}
	ended bool
}

// next returns a channel that is closed at the next change of NB_Global, or at
// the session's end.
func (m *marks) next() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wake == nil {
		m.wake = make(chan struct{})
		if m.ended {
			close(m.wake)
		}
	}
	return m.wake
}

func (m *marks) moved() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wake != nil && !m.ended {
		close(m.wake)
		m.wake = nil
	}
}

func (m *marks) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wake != nil && !m.ended {
		close(m.wake)
	}
	m.ended = true
}
