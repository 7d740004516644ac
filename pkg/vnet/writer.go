// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import "context"

// change is one caller's part of a transaction. Changes of one transaction are
// of different owners.
type change struct {
	ctx  context.Context
	uid  string
	plan func(*session) ([]operation, error)
	done chan error
}

// maxBatch is the most callers that share a transaction.
const maxBatch = 128

// submit hands a change to the writer and waits for its commit. A plan without
// operations is no transaction.
func (m *Manager) submit(ctx context.Context, uid string, plan func(*session) ([]operation, error)) error {
	c := &change{ctx: ctx, uid: uid, plan: plan, done: make(chan error, 1)}
	select {
	case m.queue <- c:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write is the only writer of the database: it takes what has queued up while
// the last transaction was under way and commits it in one.
func (m *Manager) write(ctx context.Context) {
	var later []*change
	for {
		batch := later
		later = nil
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
				return
			case c := <-m.queue:
				batch = append(batch, c)
			}
		}
		owners := map[string]bool{}
		for _, c := range batch {
			owners[c.uid] = true
		}
	drain:
		for len(batch) < maxBatch {
			select {
			case c := <-m.queue:
				if owners[c.uid] {
					later = append(later, c)
					break drain
				}
				owners[c.uid] = true
				batch = append(batch, c)
			default:
				break drain
			}
		}
		m.commit(ctx, batch)
	}
}

// commit writes a batch in one transaction. One that is refused is written in
// halves, so that a bad change fails alone.
func (m *Manager) commit(ctx context.Context, batch []*change) {
	s, err := m.current()
	if err != nil {
		for _, c := range batch {
			c.done <- err
		}
		return
	}
	var (
		ops     []operation
		planned []*change
	)
	for _, c := range batch {
		more, err := c.plan(s)
		if err != nil || len(more) == 0 {
			if err == nil && !s.Alive() {
				err = ErrDisconnected
			}
			c.done <- err
			continue
		}
		ops, planned = append(ops, more...), append(planned, c)
	}
	if len(planned) == 0 {
		return
	}
	_, err = s.Transact(ctx, ops)
	if err == nil || len(planned) == 1 || !s.Alive() || ctx.Err() != nil {
		for _, c := range planned {
			c.done <- err
		}
		return
	}
	half := len(planned) / 2
	m.commit(ctx, planned[:half])
	m.commit(ctx, planned[half:])
}
