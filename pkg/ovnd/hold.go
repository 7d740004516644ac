// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// ovn-northd takes a northbound database that was made anew for what it says: it
// would remove all that it has derived, and derive all of it again as the rows come
// back, while every flow of the host is replaced. So it is held before it can see
// that database, by its own command `pause` (ovn-northd(8)), until somebody says
// that the rows are back.

// holdAtMost is how long ovn-northd is held where nobody says so.
const holdAtMost = 30 * time.Second

// hold knows whether ovn-northd is held.
type hold struct {
	northd *daemon
	log    logr.Logger

	mu      sync.Mutex
	held    bool
	times   int // how often it was
	release *time.Timer
}

// begin holds ovn-northd, if it runs. That it cannot is no reason not to go on.
func (h *hold) begin(ctx context.Context) {
	p, err := openProcess(h.northd.pidfile())
	if err != nil || p == nil {
		return // what starts later finds what there is then
	}
	p.close()
	if _, err := h.northd.ask(ctx, "pause"); err != nil {
		h.log.Error(err, "ovn-northd cannot be held; it may derive from a northbound database that is not complete")
		return
	}
	h.log.Info("ovn-northd is held until the new northbound database is filled")
	h.note()
}

// adopt finds out whether a process before this one has left ovn-northd held. One that
// does not answer, for it is busy, may be; to let one go on that is not does no harm.
func (h *hold) adopt(ctx context.Context) {
	status, err := h.northd.ask(ctx, "status")
	if err != nil {
		h.log.Info("ovn-northd does not say whether it is held", "error", err.Error())
	}
	if err != nil || strings.Contains(status, "paused") {
		h.note()
	}
}

// arguments are for an ovn-northd that is started while it is to be held: it begins
// paused.
func (h *hold) arguments() []string {
	if h.is() {
		return []string{"--dry-run"}
	}
	return nil
}

func (h *hold) is() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held
}

func (h *hold) note() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = true
	h.times++
	if h.release != nil {
		h.release.Stop()
	}
	h.release = time.AfterFunc(holdAtMost, func() {
		ctx, cancel := context.WithTimeout(context.Background(), holdAtMost)
		defer cancel()
		h.log.Info("ovn-northd goes on, though nobody has said that the northbound database is filled", "after", holdAtMost.String())
		h.end(ctx)
	})
}

// end lets ovn-northd go on. Where it does not hear, it is held still.
func (h *hold) end(ctx context.Context) {
	h.mu.Lock()
	held, times := h.held, h.times
	h.mu.Unlock()
	if !held {
		return
	}
	_, err := h.northd.ask(ctx, "resume")
	h.mu.Lock()
	defer h.mu.Unlock()
	if times != h.times {
		return // it is held again, for another database
	}
	if err != nil {
		h.log.Error(err, "ovn-northd does not go on; trying again", "after", holdAtMost.String())
		h.release.Reset(holdAtMost)
		return
	}
	h.release.Stop()
	h.held = false
}

// Held tells whether ovn-northd waits for a new northbound database to be filled.
func (s *Stack) Held() bool { return s.hold.is() }

// Release says that it is filled.
func (s *Stack) Release(ctx context.Context) { s.hold.end(ctx) }
