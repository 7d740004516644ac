// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/model"

	"github.com/vas-solutus/arca-network/internal/ovsdbconn"
)

// rowWatch follows one yes or no of each row of a table, by the row's name.
type rowWatch struct {
	conn   *ovsdbconn.Conn
	column string
	is     func(any) bool
	ours   func(name string) bool // rows that count

	mu      sync.Mutex
	yes     map[string]bool // there and yes, there and no
	n       int             // that are yes
	changed chan struct{}   // closed at each change
}

func newRowWatch(ctx context.Context, database, endpoint, table string, m model.Model, column string, is func(any) bool, ours func(string) bool) (*rowWatch, error) {
	w := &rowWatch{column: column, is: is, ours: ours, yes: map[string]bool{}, changed: make(chan struct{})}
	var err error
	w.conn, err = ovsdbconn.Connect(ctx, ovsdbconn.Options{
		Database: database, Endpoint: endpoint, Timeout: patience, Log: logr.Discard(),
		Tables: map[string]ovsdbconn.Table{table: {Model: m, Columns: []string{"name", column}}},
	}, func(c *ovsdbconn.Conn) cache.EventHandler {
		for _, row := range c.Cache.Table(table).RowsShallow() {
			w.set(row, true)
		}
		return w
	})
	return w, err
}

func (w *rowWatch) set(m model.Model, there bool) {
	name := ovsdbconn.Column(m, "name").String()
	if !w.ours(name) {
		return
	}
	yes := there && w.is(ovsdbconn.Column(m, w.column).Interface())
	w.mu.Lock()
	defer w.mu.Unlock()
	was, known := w.yes[name]
	if known == there && was == yes {
		return
	}
	switch {
	case yes && !was:
		w.n++
	case was && !yes:
		w.n--
	}
	if there {
		w.yes[name] = yes
	} else {
		delete(w.yes, name)
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// OnAdd, OnUpdate and OnDelete are called by the cache.
func (w *rowWatch) OnAdd(_ string, m model.Model)                   { w.set(m, true) }
func (w *rowWatch) OnUpdate(_ string, _ model.Model, m model.Model) { w.set(m, true) }
func (w *rowWatch) OnDelete(_ string, m model.Model)                { w.set(m, false) }

// until waits for something to be so. The function is called with the lock held.
func (w *rowWatch) until(what string, patience time.Duration, so func() bool) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		w.mu.Lock()
		ok, changed, n, rows := so(), w.changed, w.n, len(w.yes)
		w.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-limit.C:
			return fmt.Errorf("%s: not within %s: %d of %d rows", what, patience, n, rows)
		}
	}
}

// name waits for one row to be yes.
func (w *rowWatch) name(name string) error {
	return w.until(w.column+" of "+name, patience, func() bool { return w.yes[name] })
}

// count waits for at least so many rows to be yes.
func (w *rowWatch) count(n int, patience time.Duration) error {
	return w.until(fmt.Sprintf("%s of %d", w.column, n), patience, func() bool { return w.n >= n })
}

// rows waits for at least so many rows to be there.
func (w *rowWatch) rows(n int, patience time.Duration) error {
	return w.until(fmt.Sprintf("%d rows", n), patience, func() bool { return len(w.yes) >= n })
}
