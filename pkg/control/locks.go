// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// locks are readers-writer locks by name. What a call decides on must not change
// before it has written: a network is not deleted between the look at it and the
// attachment to it, and rules of one network and changes of one attachment are made one
// after the other.
type locks struct {
	mu    sync.Mutex
	named map[string]*namedLock
}

// namedLock exists as long as somebody has it or waits for it.
type namedLock struct {
	users   int
	readers int
	writer  bool
	changed chan struct{} // closed at each change
}

func newLocks() *locks { return &locks{named: map[string]*namedLock{}} }

// read shares the lock with other readers.
func (l *locks) read(ctx context.Context, name string) (unlock func(), err error) {
	return l.lock(ctx, name, func(n *namedLock) bool {
		if n.writer {
			return false
		}
		n.readers++
		return true
	}, func(n *namedLock) { n.readers-- })
}

// write has the lock alone.
func (l *locks) write(ctx context.Context, name string) (unlock func(), err error) {
	return l.lock(ctx, name, func(n *namedLock) bool {
		if n.writer || n.readers > 0 {
			return false
		}
		n.writer = true
		return true
	}, func(n *namedLock) { n.writer = false })
}

func (l *locks) lock(ctx context.Context, name string, take func(*namedLock) bool, give func(*namedLock)) (func(), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.named[name]
	if n == nil {
		n = &namedLock{changed: make(chan struct{})}
		l.named[name] = n
	}
	n.users++
	for !take(n) {
		changed := n.changed
		l.mu.Unlock()
		select {
		case <-changed:
			l.mu.Lock()
		case <-ctx.Done():
			l.mu.Lock()
			l.leave(name, n)
			if err := interrupted(ctx); err != nil {
				return nil, err
			}
			return nil, status.Error(codes.Unavailable, "another call about "+name+" did not end in time, and nothing was written: ask again")
		}
	}
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		give(n)
		close(n.changed)
		n.changed = make(chan struct{})
		l.leave(name, n)
	}), nil
}

func (l *locks) leave(name string, n *namedLock) {
	if n.users--; n.users == 0 {
		delete(l.named, name)
	}
}
