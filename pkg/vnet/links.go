// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// linkWatch follows the links of the host's namespace. It remembers which of them
// carry an owner mark, so that an owner's links are found without a dump, and
// wakes those who wait for a link to come or go. Whoever acts on a link reads it
// from the kernel first.
type linkWatch struct {
	host    netns.NsHandle
	timeout time.Duration
	// onLink is called for each event, onLost when events were lost.
	onLink func(linkEvent)
	onLost func()

	mu     sync.Mutex
	synced bool
	byUID  map[string]map[int]struct{}
	uidOf  map[int]string
	// last is the greatest index that was reserved or seen.
	last int
	// waiters are woken by each event of that link name.
	waiters map[string]map[chan struct{}]struct{}
}

type linkEvent struct {
	link netlink.Link
	gone bool
}

func newLinkWatch(host netns.NsHandle, timeout time.Duration, onLink func(linkEvent), onLost func()) *linkWatch {
	return &linkWatch{
		host: host, timeout: timeout, onLink: onLink, onLost: onLost,
		waiters: map[string]map[chan struct{}]struct{}{},
	}
}

// linkBuffer is the receive buffer of the event socket: enough for the events of
// a few thousand ports made at once.
const linkBuffer = 32 << 20

// run follows events until ctx ends. Lost events, which the kernel reports, mean
// a new dump.
func (w *linkWatch) run(ctx context.Context, ready func()) error {
	for first := true; ; first = false {
		err := w.follow(ctx, func() {
			if first {
				ready()
			} else {
				w.onLost()
			}
		})
		if ctx.Err() != nil {
			return nil
		}
		// Losing events is normal under load; not even getting to the dump is not.
		if err != nil {
			return err
		}
	}
}

func (w *linkWatch) follow(ctx context.Context, ready func()) error {
	ch := make(chan netlink.LinkUpdate, 1024)
	done := make(chan struct{})
	err := netlink.LinkSubscribeWithOptions(ch, done, netlink.LinkSubscribeOptions{
		Namespace: &w.host, ReceiveBufferSize: linkBuffer, ReceiveBufferForceSize: true,
	})
	if err != nil {
		close(done)
		return fmt.Errorf("subscribing to link events: %w", err)
	}
	// The reader must not be left behind blocked on the channel.
	defer func() {
		close(done)
		for range ch {
		}
	}()
	if err := w.resync(); err != nil {
		return err
	}
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case u, ok := <-ch:
			if !ok {
				return nil
			}
			w.observe(linkEvent{link: u.Link, gone: u.Header.Type == unix.RTM_DELLINK})
		}
	}
}

// resync rebuilds the index from a dump.
func (w *linkWatch) resync() error {
	c, err := dial(w.host, w.host, w.timeout)
	if err != nil {
		return err
	}
	defer c.close()
	links, err := c.links()
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.byUID, w.uidOf, w.synced = map[string]map[int]struct{}{}, map[int]string{}, true
	for _, l := range links {
		w.index(l, false)
	}
	return nil
}

func (w *linkWatch) observe(ev linkEvent) {
	w.mu.Lock()
	w.index(ev.link, ev.gone)
	for ch := range w.waiters[ev.link.Attrs().Name] {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
	w.mu.Unlock()
	w.onLink(ev)
}

// index is called with the lock held.
func (w *linkWatch) index(l netlink.Link, gone bool) {
	a := l.Attrs()
	w.last = max(w.last, a.Index)
	uid := ""
	if o, ours := parseLinkAlias(a.Alias); ours && !gone {
		uid = o.UID
	}
	if old := w.uidOf[a.Index]; old != uid && old != "" {
		delete(w.uidOf, a.Index)
		if delete(w.byUID[old], a.Index); len(w.byUID[old]) == 0 {
			delete(w.byUID, old)
		}
	}
	if uid != "" {
		w.uidOf[a.Index] = uid
		if w.byUID[uid] == nil {
			w.byUID[uid] = map[int]struct{}{}
		}
		w.byUID[uid][a.Index] = struct{}{}
	}
}

// firstReserved is far above the indexes that the kernel gives by itself, which are
// consecutive and not given again: no link gets one that ovs-vswitchd may still know as
// a dead link's.
const firstReserved = 1 << 20

// reserve returns an index for a link that is not there yet: none has had it since run
// began. It is 0 where there is none left.
func (w *linkWatch) reserve() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == math.MaxInt32 {
		return 0
	}
	w.last = max(w.last+1, firstReserved)
	return w.last
}

// owned are the indexes of the owner's links.
func (w *linkWatch) owned(uid string) map[int]struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.byUID[uid])
}

// wait returns once check says so. check is called at first and after each event
// of that link name.
func (w *linkWatch) wait(ctx context.Context, name string, check func() (bool, error)) error {
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	if w.waiters[name] == nil {
		w.waiters[name] = map[chan struct{}]struct{}{}
	}
	w.waiters[name][ch] = struct{}{}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if delete(w.waiters[name], ch); len(w.waiters[name]) == 0 {
			delete(w.waiters, name)
		}
	}()
	for {
		if done, err := check(); done || err != nil {
			return err
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return &VswitchdError{Waiting: "device " + name, Err: ctx.Err()}
		}
	}
}
