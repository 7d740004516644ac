// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/k3s-io/kine/pkg/drivers"
	"github.com/k3s-io/kine/pkg/logstructured"
	"github.com/k3s-io/kine/pkg/logstructured/sqllog"
	"github.com/k3s-io/kine/pkg/server"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// kine v0.17.5 takes every error of a write for a conflict and reads the key to
// see who won. When the disk is full the read works, so a create that failed is
// reported as done, and an update that failed as a conflict, which the API
// server tries again until it times out. The types here let the error through.

// newSQLiteBackend builds kine's backend on a SQLite dialect, with errors of
// writes and lists reported, and writers queued.
func newSQLiteBackend(dialect server.Dialect, running *sync.WaitGroup, watches *watchGate, config *drivers.Config) server.Backend {
	queued := &queuedDialect{Dialect: dialect, turn: make(chan struct{}, 1)}
	log := honestLog{SQLLog: sqllog.New(queued, running, config), dialect: queued, watches: watches}
	return honestBackend{logstructured.New(log)}
}

// outcome is where honestLog leaves the error of a write's last attempt for
// the honestBackend that asked for it.
type outcome struct{ err error }

type outcomeKey struct{}

// failure is the error that was not a lost race for the key.
func (o *outcome) failure() error {
	if o.err == nil || errors.Is(o.err, server.ErrKeyExists) {
		return nil
	}
	return status.Errorf(codes.Unavailable, "the state database refused the write: %v", o.err)
}

// honestBackend fails a write whose last attempt failed.
type honestBackend struct{ server.Backend }

func (b honestBackend) Create(ctx context.Context, key string, value []byte, lease int64) (int64, error) {
	var o outcome
	rev, err := b.Backend.Create(context.WithValue(ctx, outcomeKey{}, &o), key, value, lease)
	if failure := o.failure(); failure != nil {
		return 0, failure
	}
	return rev, err
}

func (b honestBackend) Update(ctx context.Context, key string, value []byte, revision, lease int64) (int64, *server.KeyValue, bool, error) {
	var o outcome
	rev, kv, done, err := b.Backend.Update(context.WithValue(ctx, outcomeKey{}, &o), key, value, revision, lease)
	if failure := o.failure(); failure != nil {
		return 0, nil, false, failure
	}
	return rev, kv, done, err
}

func (b honestBackend) Delete(ctx context.Context, key string, revision int64) (int64, *server.KeyValue, bool, error) {
	var o outcome
	rev, kv, done, err := b.Backend.Delete(context.WithValue(ctx, outcomeKey{}, &o), key, revision)
	if failure := o.failure(); failure != nil {
		return 0, nil, false, failure
	}
	return rev, kv, done, err
}

// Append leaves the error for the honestBackend.
func (l honestLog) Append(ctx context.Context, event *server.Event) (int64, error) {
	rev, err := l.SQLLog.Append(ctx, event)
	if o, ok := ctx.Value(outcomeKey{}).(*outcome); ok {
		o.err = err
	}
	return rev, err
}

// queuedDialect lets one writer at a time into the database, in order of
// arrival. SQLite allows no more either, but lets the others poll for the lock
// with growing pauses.
type queuedDialect struct {
	server.Dialect
	turn chan struct{}
}

func (d *queuedDialect) BeginTx(ctx context.Context, opts *sql.TxOptions) (server.Transaction, error) {
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	tx, err := d.Dialect.BeginTx(ctx, opts)
	if err != nil {
		<-d.turn
		return nil, err
	}
	return &queuedTx{Transaction: tx, release: sync.OnceFunc(func() { <-d.turn })}, nil
}

// queuedTx ends the turn with the transaction, and keeps a full disk, which
// passes, from ending the process: kine's compaction commits and rolls back in
// ways that cannot fail otherwise.
type queuedTx struct {
	server.Transaction
	release   func()
	committed bool
}

// Compact is the last step before the commit. It commits, because it can say
// that this failed; after a commit that seems to have worked but did not, kine
// v0.17.5 would never compact again.
func (t *queuedTx) Compact(ctx context.Context, from, to int64) (int64, error) {
	deleted, err := t.Transaction.Compact(ctx, from, to)
	if err != nil {
		return 0, err
	}
	if err := t.Commit(); err != nil {
		return 0, fmt.Errorf("committing: %w", err)
	}
	t.committed = true
	return deleted, nil
}

func (t *queuedTx) Commit() error {
	defer t.release()
	return t.Transaction.Commit()
}

func (t *queuedTx) Rollback() error {
	defer t.release()
	return t.Transaction.Rollback()
}

func (t *queuedTx) MustCommit() {
	if t.committed {
		return
	}
	if err := t.Commit(); err != nil {
		logrus.Errorf("transaction not committed: %v", err)
	}
}

func (t *queuedTx) MustRollback() {
	if err := t.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		logrus.Errorf("transaction not rolled back: %v", err)
	}
}

// verifiedBackend does for databases whose log kine keeps to itself what
// honestBackend does for SQLite: it looks whether a write took place.
type verifiedBackend struct{ server.Backend }

var errNotApplied = status.Error(codes.Unavailable, "the datastore did not apply the write")

func (b verifiedBackend) Create(ctx context.Context, key string, value []byte, lease int64) (int64, error) {
	rev, err := b.Backend.Create(ctx, key, value, lease)
	if err != nil {
		return rev, err
	}
	_, kv, err := b.Backend.Get(ctx, key, rev, true)
	if err != nil {
		return 0, fmt.Errorf("reading back what was created: %w", err)
	}
	if kv == nil || kv.ModRevision != rev {
		return 0, errNotApplied
	}
	return rev, nil
}

func (b verifiedBackend) Update(ctx context.Context, key string, value []byte, revision, lease int64) (int64, *server.KeyValue, bool, error) {
	rev, kv, done, err := b.Backend.Update(ctx, key, value, revision, lease)
	if err == nil && !done && kv != nil && kv.ModRevision == revision {
		return 0, nil, false, errNotApplied
	}
	return rev, kv, done, err
}

func (b verifiedBackend) Delete(ctx context.Context, key string, revision int64) (int64, *server.KeyValue, bool, error) {
	rev, kv, done, err := b.Backend.Delete(ctx, key, revision)
	if err == nil && !done && kv != nil && kv.ModRevision == revision {
		return 0, nil, false, errNotApplied
	}
	return rev, kv, done, err
}
