// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnsync

import (
	"context"
	"slices"
	"time"

	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
)

// change is what one caller wants: the rows of one owner, or none.
type change struct {
	owner  Owner
	rows   []Row
	strays bool
	mark   bool
	// unpaced says that OVN need not have taken it in before the next.
	unpaced bool
	done    chan outcome
}

type outcome struct {
	changed bool
	count   int // operations
	err     error
}

const (
	// maxBatch is the most callers that share a transaction. Larger ones do not
	// raise throughput and make everybody wait longer.
	maxBatch = 128
	// maxRestore is the same where nobody waits for one of them alone: OVN begins
	// to work on the first, and the server is busy with what OVN writes from then on.
	maxRestore = 2048
)

// submit hands a change to the writer and waits for its commit.
func (s *Syncer) submit(ctx context.Context, c *change) (bool, error) {
	out := s.wait(ctx, c)
	return out.changed, out.err
}

func (s *Syncer) submitStrays(ctx context.Context) (int, error) {
	out := s.wait(ctx, &change{strays: true})
	return out.count, out.err
}

func (s *Syncer) wait(ctx context.Context, c *change) outcome {
	c.done = make(chan outcome, 1)
	select {
	case <-s.tried:
	case <-ctx.Done():
		return outcome{err: ctx.Err()}
	}
	select {
	case s.queue <- c:
	case <-ctx.Done():
		return outcome{err: ctx.Err()}
	}
	select {
	case out := <-c.done:
		return out
	case <-ctx.Done():
		return outcome{err: ctx.Err()}
	}
}

// maxPace bounds the wait for OVN between two crowded transactions: daemons
// that are slow or away delay nobody for longer.
const maxPace = 500 * time.Millisecond

// write is the only writer of the database: it takes what has queued up while
// the last transaction was under way and commits it in one. Where several
// callers shared a transaction, the next one waits until OVN has taken it in:
// ovn-northd and ovn-controller pay for each transaction anew, and what queues
// up meanwhile costs them hardly more. A caller alone never waits, and a full
// batch has nothing to gain.
func (s *Syncer) write(ctx context.Context) {
	for {
		var batch []*change
		select {
		case <-ctx.Done():
			s.refuseQueued(ctx.Err())
			return
		case c := <-s.queue:
			batch = append(batch, c)
		}
		owners := map[string]bool{batch[0].owner.UID: true}
		var later []*change
		limit := maxBatch
		if s.unpaced(batch[0]) {
			limit = maxRestore
		}
		if batch[0].strays {
			limit = 1
		}
	drain:
		for len(batch) < limit {
			select {
			case c := <-s.queue:
				if owners[c.owner.UID] || c.strays {
					// A plan sees the database, not what it changes itself: what another
					// owner of the batch declares would be a stray.
					later = append(later, c)
					continue
				}
				owners[c.owner.UID] = true
				batch = append(batch, c)
			default:
				break drain
			}
		}
		mark := s.commit(ctx, batch)
		for _, c := range later {
			s.commit(ctx, []*change{c})
		}
		if mark != nil && len(batch) < limit {
			pace(ctx, mark)
		}
	}
}

// unpaced tells whether a transaction that begins with a change waits for nothing.
func (s *Syncer) unpaced(first *change) bool {
	return first.unpaced || s.options.Held != nil && s.options.Held()
}

func (s *Syncer) refuseQueued(err error) {
	for {
		select {
		case c := <-s.queue:
			c.done <- outcome{err: err}
		default:
			return
		}
	}
}

// pace waits until OVN has taken in what was committed before the mark.
func pace(ctx context.Context, mark *Mark) {
	ctx, cancel := context.WithTimeout(ctx, maxPace)
	defer cancel()
	_ = mark.Wait(ctx) // whoever does not answer is the health checks' business
}

// commit writes a batch in one transaction. One that is refused is written in
// halves, so that a bad change fails alone. It returns a mark where several
// callers shared the transaction.
func (s *Syncer) commit(ctx context.Context, batch []*change) *Mark {
	session, err := s.current()
	if err != nil {
		for _, c := range batch {
			c.done <- outcome{err: err}
		}
		return nil
	}
	if now, found := session.global(); found {
		session.spent.settle(now)
	}
	p := newPlan(session)
	var planned []*change
	for _, c := range batch {
		mark := p.mark()
		if c.strays {
			p.strays(nbdb.AddressSetTable, "addresses")
		} else if c.mark {
			p.ops = append(p.ops, session.markOps()...)
		} else if err := p.owner(c.owner, c.rows); err != nil {
			p.rollback(mark)
			c.done <- outcome{err: err}
			continue
		}
		if len(p.ops) == len(mark.ops) {
			if session.Alive() {
				c.done <- outcome{}
			} else {
				c.done <- outcome{err: ErrDisconnected}
			}
			continue
		}
		planned = append(planned, c)
	}
	session.echo.expect(p)
	if len(planned) == 0 {
		return nil
	}
	ops := p.ops
	if len(planned) > 1 && !s.unpaced(planned[0]) {
		ops = append(slices.Clip(ops), session.markOps()...)
	}
	results, err := session.Transact(ctx, ops)
	switch {
	case err == nil:
		session.echo.committed(p, results[:len(p.ops)])
		for _, c := range planned {
			c.done <- outcome{changed: true, count: len(p.ops)}
		}
		if row, found := session.global(); found && len(ops) > len(p.ops) {
			return &Mark{session: session, cfg: row.nb, since: time.Now()}
		}
	case len(planned) == 1 || !session.Alive() || ctx.Err() != nil:
		session.echo.failed(p)
		for _, c := range planned {
			c.done <- outcome{err: err}
		}
	default:
		session.echo.failed(p)
		half := len(planned) / 2
		s.commit(ctx, planned[:half])
		return s.commit(ctx, planned[half:])
	}
	return nil
}
