// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import "sync/atomic"

// limiter bounds how often something is let through: a rate, and a burst of
// what was not used before; and how many questions wait for others at a time. It
// lives as long as its endpoint, so there are as many as endpoints.
type limiter struct {
	all, forwarded bucket
	asking         atomic.Int32
}

// maxOutstanding bounds how many queries of one address wait for other servers,
// an eighth of those of all: where these are slow, a rate alone bounds nothing.
const maxOutstanding = maxAsking / 8

// begin takes a place among those that wait; end gives it back.
func (l *limiter) begin() bool {
	if l.asking.Add(1) <= maxOutstanding {
		return true
	}
	l.end()
	return false
}

func (l *limiter) end() { l.asking.Add(-1) }

// bucket keeps the time at which a steady flow would have arrived here (GCRA).
type bucket struct{ next atomic.Int64 }

// rate is one event each interval nanoseconds, and a burst of so many. The
// zero rate lets everything through.
type rate struct{ interval, burst int64 }

// perSecond is a rate with a burst of one second.
func perSecond(n int) rate {
	if n <= 0 {
		return rate{}
	}
	return rate{interval: max(1, 1e9/int64(n)), burst: int64(n)}
}

func (b *bucket) allow(now int64, r rate) bool {
	if r.interval == 0 {
		return true
	}
	for {
		next := b.next.Load()
		at := max(next, now)
		if at-now >= r.burst*r.interval {
			return false
		}
		if b.next.CompareAndSwap(next, at+r.interval) {
			return true
		}
	}
}
