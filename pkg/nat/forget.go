// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"context"
	"net/netip"
	"sync"
)

// Forget deletes the tracked connections of addresses that change hands.
func (m *Manager) Forget(ctx context.Context, addresses ...netip.Addr) error {
	return m.forgetting.forget(ctx, addresses)
}

// forgetter lets callers that come together share a walk over all tracked
// connections: there may be hundreds of thousands of them, and a whole network's
// endpoints go at once. While one walk is under way, those that come meanwhile
// wait for the next.
type forgetter struct {
	walk func(wrong func(flow) bool) (int, error)

	mu      sync.Mutex
	walking bool
	next    *forgetting // has not begun; nil: nobody waits
}

// forgetting is one walk.
type forgetting struct {
	gone map[netip.Addr]bool
	done chan struct{}
	err  error // once done is closed
}

func (f *forgetter) forget(ctx context.Context, addresses []netip.Addr) error {
	if err := ctx.Err(); err != nil || len(addresses) == 0 {
		return err
	}
	f.mu.Lock()
	w := f.next
	if w == nil {
		w = &forgetting{gone: map[netip.Addr]bool{}, done: make(chan struct{})}
		f.next = w
	}
	for _, a := range addresses {
		w.gone[a] = true
	}
	if !f.walking {
		f.walking = true
		go f.run()
	}
	f.mu.Unlock()
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run walks until nobody waits. Each walk has a deadline of its own.
func (f *forgetter) run() {
	for {
		f.mu.Lock()
		w := f.next
		f.next, f.walking = nil, w != nil // from here on nobody adds to w
		f.mu.Unlock()
		if w == nil {
			return
		}
		_, w.err = f.walk(func(x flow) bool { return w.gone[x.from.Addr()] || w.gone[x.server.Addr()] })
		close(w.done)
	}
}
