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

// OVN and Open vSwitch take a database that was made anew for what it says. ovn-northd
// would remove all that it has derived from the northbound one, and derive all of it
// again as the rows come back; ovn-controller would remove all flows until ovn-northd has
// filled the southbound one, and flows of ports until ovs-vswitchd has numbered them in
// its own; ovs-vswitchd would remove the ports. So whoever reads a new database is held
// until it is filled: ovs-vswitchd and ovn-northd are not connected to it (reach.go)
// before somebody says that all ports are there, or that the rows are back;
// ovn-controller, which connects to ovs-vswitchd's database by itself, is told to pause
// (debug/pause) until those two have done what there is to do.

// How long a daemon is held at most, where nobody says that its database is filled. The
// rows of 10,000 endpoints are written in 5 s, and containers that are new wait meanwhile.
// Without ports nothing is forwarded: ovs-vswitchd waits for less, from when the database
// can be filled.
const (
	switchAtMost     = 5 * time.Second
	northdAtMost     = 30 * time.Second
	controllerAtMost = time.Minute
	// endAgain is when one that did not go on is told again.
	endAgain = time.Second
)

// hold knows whether a daemon is held.
type hold struct {
	daemon *daemon
	reads  []string // databases of which one is new
	atMost time.Duration
	pause  func(context.Context) error // where it is connected all the same; may be nil
	resume func(context.Context) error
	log    logr.Logger
	begun  chan struct{} // takes one

	mu      sync.Mutex
	held    bool
	ending  bool // it is being told to go on
	times   int  // how often it was held
	left    bool // to who looks after the daemons next
	release *time.Timer
}

// begin holds the daemon, if it waits for its databases. What starts later finds what
// there is then. That it cannot be held is no reason not to go on.
func (h *hold) begin(ctx context.Context) {
	if !h.daemon.listens() {
		return
	}
	if h.pause != nil {
		if err := h.pause(ctx); err != nil {
			h.log.Error(err, "A daemon cannot be held; it may act on a new database that is not complete", "daemon", h.daemon.name, "databases", h.reads)
			return
		}
	}
	h.log.Info("Daemon is held until a new database is filled", "daemon", h.daemon.name, "databases", h.reads)
	h.note()
}

func (h *hold) is() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held
}

// waits tells whether it is held and nobody is about to change that.
func (h *hold) waits() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held && !h.ending
}

func (h *hold) note() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held, h.ending = true, false
	h.times++
	if h.release != nil {
		h.release.Stop()
	}
	h.release = time.AfterFunc(h.atMost, func() {
		h.log.Info("Daemon goes on, though nobody has said that the new database is filled", "daemon", h.daemon.name, "databases", h.reads,
			"after", h.atMost.String())
		h.endNow()
	})
	select {
	case h.begun <- struct{}{}:
	default:
	}
}

// served says that its database can be filled from now on.
func (h *hold) served() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held {
		h.release.Reset(h.atMost)
	}
}

// endNow is end, for a timer.
func (h *hold) endNow() {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	h.end(ctx)
}

// end lets the daemon go on. Where that fails, it is held still, and told again.
func (h *hold) end(ctx context.Context) {
	h.mu.Lock()
	held, times := h.held, h.times
	h.ending = held
	h.mu.Unlock()
	if !held {
		return
	}
	err := h.resume(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	if times != h.times {
		return // it is held again, for another database
	}
	h.ending = false
	h.release.Stop()
	if err != nil && h.left {
		return
	}
	if err != nil {
		h.log.Error(err, "Daemon does not go on; trying again", "daemon", h.daemon.name, "after", endAgain.String())
		h.release = time.AfterFunc(endAgain, h.endNow)
		return
	}
	h.held = false
}

// leave has it held by nobody's clock: who looks after the daemons next finds that it is
// (adoptHolds), and begins one.
func (h *hold) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.left = true
	if h.release != nil {
		h.release.Stop()
	}
}

// newHolds says how each of the daemons is held.
func (s *Stack) newHolds() {
	of := func(name string, atMost time.Duration, reads ...string) *hold {
		return &hold{daemon: s.daemon(name), reads: reads, atMost: atMost, log: s.options.Log, begun: make(chan struct{}, 1)}
	}
	s.switchHold = of("ovs-vswitchd", switchAtMost, openVSwitch)
	s.switchHold.resume = func(ctx context.Context) error { return s.connect(ctx, s.switchHold.daemon) }
	s.northdHold = of("ovn-northd", northdAtMost, northbound)
	s.northdHold.resume = s.connectOVN
	s.controllerHold = of("ovn-controller", controllerAtMost, southbound, openVSwitch)
	tell := func(command string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := s.controllerHold.daemon.ask(ctx, command)
			return err
		}
	}
	s.controllerHold.pause, s.controllerHold.resume = tell("debug/pause"), tell("debug/resume")
}

func (s *Stack) holds() []*hold { return []*hold{s.switchHold, s.northdHold, s.controllerHold} }

// adoptHolds finds out whom a process before this one has left held: who waits for a
// server that has these remotes, and is not connected. An ovn-controller that does not
// answer, for it is busy, may be; to let one go on that is not held does no harm.
func (s *Stack) adoptHolds(ctx context.Context, remotes []string) {
	for _, h := range []*hold{s.switchHold, s.northdHold} {
		if h.daemon.awaits(remotes) {
			h.note()
		}
	}
	h := s.controllerHold
	if !h.daemon.listens() {
		return
	}
	status, err := h.daemon.ask(ctx, "debug/status")
	if err != nil {
		h.log.Info("Daemon does not say whether it is held", "daemon", h.daemon.name, "error", err.Error())
	}
	if err != nil || strings.Contains(status, "paused") {
		h.note()
	}
}

// Held tells whether ovn-northd waits for a new northbound database to be filled.
func (s *Stack) Held() bool { return s.northdHold.is() }

// Release says that it is filled.
func (s *Stack) Release(ctx context.Context) { s.northdHold.end(ctx) }

// ReleaseSwitch says that the Open_vSwitch database has all ports that there are.
func (s *Stack) ReleaseSwitch(ctx context.Context) { s.switchHold.end(ctx) }

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
