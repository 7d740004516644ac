// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"fmt"
	"time"

	libovsdb "github.com/ovn-kubernetes/libovsdb/ovsdb"
)

// maxBatch callers share a transaction: with more, ovs-vswitchd and the other
// readers wait longer for the first of them than the rest gains.
const maxBatch = 200

type transactor interface {
	Transact(context.Context, ...libovsdb.Operation) ([]libovsdb.OperationResult, error)
}

// committer sends the operations of concurrent callers in shared transactions:
// what arrives while one is under way goes into the next. Nobody waits for more
// callers to come.
type committer struct {
	ctx     context.Context // that of the session
	db      transactor
	timeout time.Duration
	queue   chan *commitRequest
	// sent counts transactions, for tests: adopting must send none.
	sent func()
}

type commitRequest struct {
	ops     []libovsdb.Operation
	results []libovsdb.OperationResult
	err     error
	done    chan struct{}
}

func newCommitter(ctx context.Context, db transactor, timeout time.Duration, sent func()) *committer {
	return &committer{ctx: ctx, db: db, timeout: timeout, queue: make(chan *commitRequest, 4*maxBatch), sent: sent}
}

// do commits the operations, all or none, and returns their results.
func (c *committer) do(ctx context.Context, ops []libovsdb.Operation) ([]libovsdb.OperationResult, error) {
	r := &commitRequest{ops: ops, done: make(chan struct{})}
	select {
	case c.queue <- r:
	case <-c.ctx.Done():
		return nil, ErrNotConnected
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a transaction: %w", ctx.Err())
	}
	select {
	case <-r.done:
		return r.results, r.err
	case <-c.ctx.Done():
		return nil, ErrNotConnected
	case <-ctx.Done():
		// It may be committed yet: callers are level-triggered and look again.
		return nil, fmt.Errorf("waiting for a transaction: %w", ctx.Err())
	}
}

// run is the one writer.
func (c *committer) run() {
	for {
		var batch []*commitRequest
		select {
		case <-c.ctx.Done():
			return
		case r := <-c.queue:
			batch = append(batch, r)
		}
	drain:
		for len(batch) < maxBatch {
			select {
			case r := <-c.queue:
				batch = append(batch, r)
			default:
				break drain
			}
		}
		c.send(batch)
	}
}

// send commits the batch. One bad request must not fail the others: a batch that
// the database refuses is halved until the bad one stands alone.
func (c *committer) send(batch []*commitRequest) {
	var ops []libovsdb.Operation
	for _, r := range batch {
		ops = append(ops, r.ops...)
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.timeout)
	results, err := c.db.Transact(ctx, ops...)
	cancel()
	c.sent()
	if err != nil {
		// Not the operations' fault, and perhaps committed: nothing to split.
		finish(batch, fmt.Errorf("transaction: %w", err))
		return
	}
	opErrs, err := libovsdb.CheckOperationResults(results, ops)
	switch {
	case err == nil:
		for _, r := range batch {
			r.results, results = results[:len(r.ops)], results[len(r.ops):]
		}
		finish(batch, nil)
	case len(batch) == 1:
		finish(batch, fmt.Errorf("the database refused the operations: %w%s", err, details(opErrs)))
	default:
		c.send(batch[:len(batch)/2])
		c.send(batch[len(batch)/2:])
	}
}

func details(errs []libovsdb.OperationError) string {
	s := ""
	for _, e := range errs {
		s += ": " + e.Error()
	}
	return s
}

func finish(batch []*commitRequest, err error) {
	for _, r := range batch {
		r.err = err
		close(r.done)
	}
}
