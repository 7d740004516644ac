// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"fmt"
	"time"

	libovsdb "github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/vas-solutus/arca-network/internal/ovsdbconn"
)

// maxBatch callers share a transaction: with more, ovs-vswitchd and the other
// readers wait longer for the first of them than the rest gains.
const maxBatch = 200

// maxPace bounds the wait for ovs-vswitchd between two crowded transactions.
const maxPace = 500 * time.Millisecond

// committer sends the operations of concurrent callers in shared transactions:
// what arrives while one is under way goes into the next. Where several callers
// shared one, the next waits until ovs-vswitchd has done it: each transaction
// makes it look at every port, and what queues up meanwhile costs it hardly
// more. A caller alone never waits, and a full batch has nothing to gain.
type committer struct {
	ctx     context.Context // that of the session
	db      ovsdbconn.Transactor
	clock   configClock
	timeout time.Duration
	queue   chan *commitRequest
	// sent counts transactions, for tests: adopting must send none.
	sent func()
}

// configClock tells what ovs-vswitchd has done.
type configClock interface {
	// bump are operations that give a configuration a number; nil where there
	// is none to number.
	bump() []libovsdb.Operation
	// await returns when the configuration of these results, those of bump's
	// operations, is in force.
	await(ctx context.Context, results []libovsdb.OperationResult) error
}

type commitRequest struct {
	ops     []libovsdb.Operation
	results []libovsdb.OperationResult
	err     error
	done    chan struct{}
}

func newCommitter(ctx context.Context, db ovsdbconn.Transactor, clock configClock, timeout time.Duration, sent func()) *committer {
	return &committer{ctx: ctx, db: db, clock: clock, timeout: timeout, queue: make(chan *commitRequest, 4*maxBatch), sent: sent}
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
		if numbered := c.send(batch); numbered != nil && len(batch) < maxBatch {
			c.pace(numbered)
		}
	}
}

// pace waits until ovs-vswitchd has taken in a transaction.
func (c *committer) pace(numbered []libovsdb.OperationResult) {
	ctx, cancel := context.WithTimeout(c.ctx, maxPace)
	defer cancel()
	_ = c.clock.await(ctx, numbered) // whoever waits for a port is told
}

// send commits the batch. One bad request must not fail the others: a batch that
// the database refuses is halved until the bad one stands alone. Where several
// shared a transaction it returns the results that number it.
func (c *committer) send(batch []*commitRequest) []libovsdb.OperationResult {
	var ops []libovsdb.Operation
	for _, r := range batch {
		ops = append(ops, r.ops...)
	}
	if len(batch) > 1 {
		ops = append(ops, c.clock.bump()...)
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.timeout)
	results, err := ovsdbconn.Transact(ctx, c.db, ops...)
	cancel()
	c.sent()
	if err != nil {
		// Not the operations' fault, and perhaps committed: nothing to split.
		finish(batch, fmt.Errorf("transaction: %w", err))
		return nil
	}
	opErrs, err := libovsdb.CheckOperationResults(results, ops)
	switch {
	case err == nil:
		for _, r := range batch {
			r.results, results = results[:len(r.ops)], results[len(r.ops):]
		}
		finish(batch, nil)
		if len(results) > 0 {
			return results
		}
	case len(batch) == 1:
		finish(batch, fmt.Errorf("the database refused the operations: %w%s", err, details(opErrs)))
	default:
		c.send(batch[:len(batch)/2])
		return c.send(batch[len(batch)/2:])
	}
	return nil
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
