// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"sync"

	"github.com/k3s-io/kine/pkg/logstructured/sqllog"
	"github.com/k3s-io/kine/pkg/server"
)

// kine v0.17.5 does not look whether rows ended because there are no more or
// because reading failed, but for one way of listing, which has a data race. A
// list cut short makes informers believe that objects are gone. The reads here
// differ from kine's in that alone.

// honestLog reports what kine's log keeps quiet about: here the errors of
// reads, in writes.go those of writes.
type honestLog struct {
	*sqllog.SQLLog
	dialect server.Dialect
	watches *watchGate
}

// Watch refuses once the log is ending: kine adds to what the end waits for in
// the middle of that wait otherwise.
func (l honestLog) Watch(ctx context.Context) <-chan server.EventBatch {
	l.watches.mu.Lock()
	defer l.watches.mu.Unlock()
	if l.watches.isShut {
		none := make(chan server.EventBatch)
		close(none)
		return none
	}
	return l.SQLLog.Watch(ctx)
}

// watchGate lets watches begin until it is shut.
type watchGate struct {
	mu     sync.Mutex
	isShut bool
}

func (g *watchGate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.isShut = true
}

func (l honestLog) query(ctx context.Context, key, end string, limit, revision int64, includeDeleted, keysOnly bool) (*sql.Rows, error) {
	key = l.dialect.TranslateStartKey(key)
	if revision == 0 {
		return l.dialect.ListCurrent(ctx, key, end, limit, includeDeleted, keysOnly)
	}
	return l.dialect.List(ctx, key, end, limit, revision, includeDeleted, keysOnly)
}

func (l honestLog) List(ctx context.Context, key, end string, limit, revision int64, includeDeleted, keysOnly bool) (server.EventBatch, error) {
	rows, err := l.query(ctx, key, end, limit, revision, includeDeleted, keysOnly)
	if err != nil {
		return server.EventBatch{}, err
	}
	batch, compacted, err := sqllog.RowsToEvents(rows, !keysOnly, false)
	if err == nil {
		err = rows.Err() // kept after the rows are closed
	}
	if err != nil {
		return server.EventBatch{}, err
	}
	return batch, checkRevision(revision, compacted, batch.CurrentRev)
}

func (l honestLog) After(ctx context.Context, key, end string, revision, limit int64) (server.EventBatch, error) {
	rows, err := l.dialect.After(ctx, key, end, revision, limit)
	if err != nil {
		return server.EventBatch{}, err
	}
	batch, compacted, err := sqllog.RowsToEvents(rows, true, true)
	if err == nil {
		err = rows.Err()
	}
	if err != nil {
		return server.EventBatch{}, err
	}
	for _, event := range batch.Events {
		// A value that was compacted is not given, as with etcd.
		if event.PrevKV != nil && event.PrevKV.ModRevision < compacted {
			event.PrevKV = nil
		}
	}
	return batch, checkRevision(revision, compacted, batch.CurrentRev)
}

// ListStream is List row by row, so that a long list is not in memory twice.
func (l honestLog) ListStream(ctx context.Context, key, end string, limit, revision int64, includeDeleted, keysOnly bool) server.ListResult {
	rows, err := l.query(ctx, key, end, limit, revision, includeDeleted, keysOnly)
	if err != nil {
		return failedList(err)
	}
	// The first row tells the revisions, and is there even if no key is.
	first, revisions, err := nextRow(rows, keysOnly)
	if err == nil {
		err = checkRevision(revision, revisions.compacted, revisions.current)
	}
	if err != nil {
		rows.Close()
		return failedList(err)
	}
	keys, failed := make(chan *server.KeyValue, 1), make(chan error, 1)
	go func() {
		defer close(keys)
		defer close(failed)
		defer rows.Close()
		for kv, err := first, error(nil); ; kv, _, err = nextRow(rows, keysOnly) {
			if err != nil {
				failed <- err
				return
			}
			if kv == nil {
				return
			}
			select {
			case keys <- kv:
			case <-ctx.Done():
				failed <- ctx.Err()
				return
			}
		}
	}()
	return server.ListResult{KVc: keys, Errorc: failed, CurrentRevision: revisions.current}
}

func failedList(err error) server.ListResult {
	keys, failed := make(chan *server.KeyValue), make(chan error, 1)
	failed <- err
	close(keys)
	close(failed)
	return server.ListResult{KVc: keys, Errorc: failed}
}

// revisions is what each row says of the database.
type revisions struct{ current, compacted int64 }

// nextRow reads a row of a list. There is no key in it, or no row, at the end.
func nextRow(rows *sql.Rows, keysOnly bool) (*server.KeyValue, revisions, error) {
	if !rows.Next() {
		return nil, revisions{}, rows.Err()
	}
	var (
		current, compacted, id, created, previous, lease sql.NullInt64
		name                                             sql.NullString
		isCreate, isDelete                               sql.NullBool
		value                                            []byte
	)
	columns := []any{&current, &compacted, &id, &name, &isCreate, &isDelete, &created, &previous, &lease, &value}
	if keysOnly {
		columns = columns[:len(columns)-1]
	}
	if err := rows.Scan(columns...); err != nil {
		return nil, revisions{}, err
	}
	state := revisions{current: current.Int64, compacted: compacted.Int64}
	if !id.Valid {
		return nil, state, nil
	}
	kv := &server.KeyValue{
		Key: name.String, Value: value, Lease: lease.Int64,
		CreateRevision: created.Int64, ModRevision: id.Int64,
	}
	if isCreate.Bool {
		kv.CreateRevision = id.Int64
	}
	return kv, state, nil
}

// checkRevision tells whether the database still has, or has yet, a revision.
func checkRevision(revision, compacted, current int64) error {
	switch {
	case current == 0:
		return server.ErrGRPCUnhealthy
	case revision > 0 && revision < compacted:
		return server.ErrCompacted
	case revision > current:
		return server.ErrFutureRev
	}
	return nil
}
