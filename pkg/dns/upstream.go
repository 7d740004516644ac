// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// A server that is down is not asked until some time has passed; then one query
// tries it.
const (
	minDown = time.Second
	maxDown = 15 * time.Second
)

// health is which servers answer. Servers are remembered up to a bound.
//
// A server can be silent for one name alone, whose own servers are dead. So it
// is down only where it has left a question unanswered and a probe as well:
// something that it knows whatever the name was.
type health struct {
	mu      sync.Mutex
	servers *lru.Cache[netip.AddrPort, *condition]
}

type condition struct {
	answered time.Time // a question
	heard    time.Time // it answered anything, or was put down
	failed   bool      // a question was not answered since one was
	silent   bool      // nor a probe since it was heard
	probing  bool
	down     time.Duration // 0: it is not
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
		case !known || !c.failed:
			out = append(out, s)
		case c.down == 0:
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

func (h *health) of(s netip.AddrPort) *condition {
	c, known := h.servers.Get(s)
	if !known {
		c = &condition{}
		h.servers.Add(s, c)
	}
	return c
}

// answered is told of each answer to a question.
func (h *health) answered(s netip.AddrPort, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.of(s)
	*c = condition{answered: now, heard: now, probing: c.probing}
}

// failed is told of a question that was asked at a time and not answered.
func (h *health) failed(s netip.AddrPort, asked, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.of(s); asked.After(c.answered) {
		c.failed = true
		c.judge(now)
	}
}

// doubt tells whether to probe a server that has not answered what it was asked
// at a time. Who is told so must probe it, and tell probed.
func (h *health) doubt(s netip.AddrPort, asked time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.of(s)
	if c.probing || !asked.After(c.heard) {
		return false
	}
	c.probing = true
	return true
}

// outcomes of a probe.
type probed int

const (
	probeAnswered probed = iota
	probeSilent
	probeGivenUp
)

// probed is told of a probe that was sent at a time.
func (h *health) probed(s netip.AddrPort, sent, now time.Time, p probed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.of(s)
	c.probing = false
	switch {
	case p == probeAnswered: // what failed may do so again: it stays at the end
		c.heard, c.silent, c.down = now, false, 0
	case p == probeSilent && sent.After(c.heard):
		c.silent = true
		c.judge(now)
	}
}

// judge puts down who is silent altogether.
func (c *condition) judge(now time.Time) {
	if c.failed && c.silent {
		c.silent, c.heard = false, now
		c.down = min(max(minDown, 2*c.down), maxDown)
		c.retry = now.Add(c.down)
	}
}
