// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// A server that has failed so many times in a row is not asked until some time
// has passed; then one query tries it.
const (
	maxFailures = 2
	minDown     = time.Second
	maxDown     = 15 * time.Second
)

// health is which servers answer. Servers are remembered up to a bound.
type health struct {
	mu      sync.Mutex
	servers *lru.Cache[netip.AddrPort, *condition]
}

type condition struct {
	failures int
	down     time.Duration
	retry    time.Time
}

func newHealth() (*health, error) {
	servers, err := lru.New[netip.AddrPort, *condition](1024)
	return &health{servers: servers}, err
}

// order returns those of the servers that may be asked, in the order to ask
// them: as they are listed, those that have failed lately at the end. Of those
// that are down it has one that it is time to try, if there is any; down says
// that it has no other.
func (h *health) order(servers []netip.AddrPort, now time.Time) (out []netip.AddrPort, down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var failing []netip.AddrPort
	var due *condition
	var dueServer netip.AddrPort
	for _, s := range servers {
		c, known := h.servers.Get(s)
		switch {
		case !known || c.failures == 0:
			out = append(out, s)
		case c.failures < maxFailures:
			failing = append(failing, s)
		case due == nil && !now.Before(c.retry):
			due, dueServer = c, s
		}
	}
	out = append(out, failing...)
	down = len(out) == 0
	if due != nil {
		due.retry = now.Add(due.down)
		out = append(out, dueServer)
	}
	return out, down
}

func (h *health) answered(s netip.AddrPort) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.servers.Remove(s)
}

func (h *health) failed(s netip.AddrPort, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, known := h.servers.Get(s)
	if !known {
		c = &condition{}
		h.servers.Add(s, c)
	}
	c.failures++
	if c.failures >= maxFailures {
		c.down = min(max(minDown, 2*c.down), maxDown)
		c.retry = now.Add(c.down)
	}
}
