// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"sync"
	"time"

	"github.com/moby/moby/api/types/events"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

const (
	// keptEvents is how many past events can be asked for.
	keptEvents = 256
	// subscriberBuffer is how many events a reader may be behind; it misses what
	// is more.
	subscriberBuffer = 1024
	// awaitEvent is how long the answer to a call may wait for its event.
	awaitEvent = 2 * time.Second
)

// eventLog has the last events, and hands new ones to who listens. Events come
// from the objects, so that it is no matter who has changed them: a call that has
// changed something only waits for its event, and a client that asks about the
// past after its call finds it.
type eventLog struct {
	mu          sync.Mutex
	past        []events.Message
	subscribers map[chan events.Message]struct{}
	closed      bool
	seen        *observed
	following   bool
	changed     chan struct{} // closed at each change
}

func newEventLog() *eventLog {
	return &eventLog{subscribers: map[chan events.Message]struct{}{}, seen: newObserved(), changed: make(chan struct{})}
}

// log adds events of now.
func (l *eventLog) log(messages ...events.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(messages)
}

func (l *eventLog) add(messages []events.Message) {
	for _, m := range messages {
		now := time.Now().UTC()
		m.Scope, m.Time, m.TimeNano = "local", now.Unix(), now.UnixNano()
		if len(l.past) == keptEvents {
			l.past = append(l.past[:0], l.past[1:]...)
		}
		l.past = append(l.past, m)
		for s := range l.subscribers {
			select {
			case s <- m:
			default:
			}
		}
	}
}

// observe takes in an event of the objects.
func (l *eventLog) observe(e *controlpb.WatchEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(l.seen.observe(e))
	l.wake()
}

// begin is called before all objects are told anew; end when they are no longer.
func (l *eventLog) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen.begin()
}

func (l *eventLog) follow(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.following = on
	l.wake()
}

func (l *eventLog) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *eventLog) awaitNetwork(ctx context.Context, id string, there bool) {
	l.await(ctx, func(o *observed) bool { return o.hasNetwork(id) == there })
}

func (l *eventLog) awaitEndpoint(ctx context.Context, id string, there bool) {
	l.await(ctx, func(o *observed) bool { return o.hasEndpoint(id) == there })
}

// await waits until the objects are seen to be so; not for long, and not while
// nobody looks.
func (l *eventLog) await(ctx context.Context, is func(*observed) bool) {
	ctx, done := context.WithTimeout(ctx, awaitEvent)
	defer done()
	for {
		l.mu.Lock()
		ready, changed := !l.following || is(l.seen), l.changed
		l.mu.Unlock()
		if ready {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// subscribe returns the past events since a time (none if it is zero, and until
// too) and a channel of those to come, which is closed with the log.
func (l *eventLog) subscribe(since, until time.Time) (past []events.Message, coming chan events.Message, cancel func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !since.IsZero() || !until.IsZero() {
		for _, m := range l.past {
			at := time.Unix(0, m.TimeNano)
			if !at.Before(since) && (until.IsZero() || !at.After(until)) {
				past = append(past, m)
			}
		}
	}
	coming = make(chan events.Message, subscriberBuffer)
	if l.closed {
		close(coming)
		return past, coming, func() {}
	}
	l.subscribers[coming] = struct{}{}
	return past, coming, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.subscribers, coming)
	}
}

// close ends all streams.
func (l *eventLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	for s := range l.subscribers {
		close(s)
	}
	clear(l.subscribers)
}

// listeners is how many read events at the moment.
func (l *eventLog) listeners() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.subscribers)
}
