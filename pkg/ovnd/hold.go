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

// OVN takes a database that was made anew for what it says. ovn-northd would remove
// all that it has derived from the northbound one, and derive all of it again as the
// rows come back; ovn-controller would remove all flows until ovn-northd has filled the
// southbound one, and flows of ports until ovs-vswitchd has numbered them in its own,
// for each of them connects again when it does. So whoever reads a database is held
// before it can see a new one, by its own command: pause of ovn-northd(8), debug/pause
// of ovn-controller. ovn-northd goes on when somebody says that the rows are back,
// ovn-controller when ovs-vswitchd and ovn-northd have done what there is to do.

// How long a daemon is held at most. The rows of 10,000 endpoints are written in 9 to
// 17 s, and containers that are new wait meanwhile.
const (
	northdAtMost     = 30 * time.Second
	controllerAtMost = time.Minute
)

// hold knows whether a daemon is held.
type hold struct {
	daemon *daemon
	prefix string   // of its commands pause, resume and status
	reads  []string // databases of which one is new
	atMost time.Duration
	log    logr.Logger
	begun  chan struct{} // takes one; may be nil

	mu      sync.Mutex
	held    bool
	times   int // how often it was
	release *time.Timer
}

// begin holds the daemon, if it runs. That it cannot is no reason not to go on.
func (h *hold) begin(ctx context.Context) {
	if !h.daemon.runs() {
		return // what starts later finds what there is then
	}
	if _, err := h.daemon.ask(ctx, h.prefix+"pause"); err != nil {
		h.log.Error(err, "A daemon cannot be held; it may act on a new database that is not complete", "daemon", h.daemon.name, "databases", h.reads)
		return
	}
	h.log.Info("Daemon is held until a new database is filled", "daemon", h.daemon.name, "databases", h.reads)
	h.note()
}

// adopt finds out whether a process before this one has left the daemon held. One that
// does not answer, for it is busy, may be; to let one go on that is not does no harm.
func (h *hold) adopt(ctx context.Context) {
	status, err := h.daemon.ask(ctx, h.prefix+"status")
	if err != nil {
		h.log.Info("Daemon does not say whether it is held", "daemon", h.daemon.name, "error", err.Error())
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
	h.release = time.AfterFunc(h.atMost, func() {
		ctx, cancel := context.WithTimeout(context.Background(), h.atMost)
		defer cancel()
		h.log.Info("Daemon goes on, though nobody has said that the new database is filled", "daemon", h.daemon.name, "databases", h.reads,
			"after", h.atMost.String())
		h.end(ctx)
	})
	select {
	case h.begun <- struct{}{}:
	default:
	}
}

// end lets the daemon go on. Where it does not hear, it is held still.
func (h *hold) end(ctx context.Context) {
	h.mu.Lock()
	held, times := h.held, h.times
	h.mu.Unlock()
	if !held {
		return
	}
	_, err := h.daemon.ask(ctx, h.prefix+"resume")
	h.mu.Lock()
	defer h.mu.Unlock()
	if times != h.times {
		return // it is held again, for another database
	}
	if err != nil {
		h.log.Error(err, "Daemon does not go on; trying again", "daemon", h.daemon.name, "after", h.atMost.String())
		h.release.Reset(h.atMost)
		return
	}
	h.release.Stop()
	h.held = false
}

// Held tells whether ovn-northd waits for a new northbound database to be filled.
func (s *Stack) Held() bool { return s.northdHold.is() }

// Release says that it is filled.
func (s *Stack) Release(ctx context.Context) { s.northdHold.end(ctx) }

// Paused tells whether OVN, or a part of it, takes in nothing for now.
func (s *Stack) Paused() bool { return s.northdHold.is() || s.controllerHold.is() }

// awaitTimeout is how many seconds ovs-vswitchd and ovn-northd are waited for at once.
const awaitTimeout = "10"

// filled returns once ovs-vswitchd has taken in what it has to do, which it says by
// its bridge's own port, and ovn-northd has derived what there is.
func (s *Stack) filled(ctx context.Context) error {
	_, err := s.programs.run(ctx, "ovs-vsctl", "--db="+s.Endpoints().OVS, "--timeout="+awaitTimeout, "wait-until", "Interface", Bridge, "ofport>0")
	if err == nil {
		_, err = s.programs.run(ctx, "ovn-nbctl", "--db="+s.Endpoints().NB, "--timeout="+awaitTimeout, "--wait=sb", "sync")
	}
	return err
}

// releaseController lets ovn-controller go on each time that new databases are filled,
// until ctx is done.
func (s *Stack) releaseController(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.controllerHold.begun:
		}
		// A failure is that of a time-out, or of a server that is away: in that
		// case the hold, which has an end of its own, is not spent on trying.
		for try := time.Duration(1); ctx.Err() == nil && s.controllerHold.is(); try++ {
			if s.filled(ctx) == nil {
				s.controllerHold.end(ctx)
				break
			}
			pause(ctx, min(try*firstDelay, time.Second))
		}
	}
}
