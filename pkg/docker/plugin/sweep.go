// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

const (
	// sweepEvery is the pause between two sweeps that nothing has asked for.
	sweepEvery = 5 * time.Minute
	// sweepPause is the shortest pause between two.
	sweepPause = 2 * time.Second
	// sweepTimeout bounds one sweep.
	sweepTimeout = 2 * time.Minute
	// An engine that has just been started answers after it has put its containers
	// in order. Until then it is asked again, less and less often.
	firstRetry, lastRetry = time.Second, 30 * time.Second
)

// sweeper knows when to look for what an engine has left behind.
type sweeper struct {
	kick chan struct{}

	mu      sync.Mutex
	greeted time.Time
	engine  string          // its id, as far as it was told since then
	inHand  map[string]bool // outer names of pairs that are being made
}

func newSweeper() *sweeper {
	return &sweeper{kick: make(chan struct{}, 1), inHand: map[string]bool{}}
}

// making keeps a pair that has no attachment yet until done is called.
func (s *sweeper) making(outer string) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inHand[outer] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.inHand, outer)
	}
}

// suspect asks for a sweep: a call has failed, and may have left something.
func (s *sweeper) suspect() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// greeted notes that an engine was started: its first call is Activate.
func (p *Plugin) greeted() {
	p.sweeper.mu.Lock()
	p.sweeper.greeted, p.sweeper.engine = p.now(), ""
	p.sweeper.mu.Unlock()
	p.sweeper.suspect()
}

// engineTimeout is how long the engine may take to answer one question.
const engineTimeout = 5 * time.Second

// engineID asks the engine who it is, and remembers it.
func (p *Plugin) engineID(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	id, err := p.engine.ID(ctx)
	if err != nil {
		return "", err
	}
	p.sweeper.mu.Lock()
	defer p.sweeper.mu.Unlock()
	p.sweeper.engine = id
	return id, nil
}

// callingEngine is the id of the engine that calls, which is asked only where it
// has not been since it was started: it may be killed while it waits for us.
func (p *Plugin) callingEngine(ctx context.Context) (string, error) {
	if id := p.sweeper.knownEngine(); id != "" {
		return id, nil
	}
	return p.engineID(ctx)
}

// knownEngine is the engine's id, or empty: an engine that has just been started
// makes endpoints before it answers.
func (s *sweeper) knownEngine() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.engine
}

// Run removes what engines have left behind, until ctx is done: at first, after an
// engine was started, after a call has failed, and now and then.
func (p *Plugin) Run(ctx context.Context) error {
	var retry time.Duration
	for {
		again, err := p.sweep(ctx)
		if ctx.Err() != nil {
			return nil
		}
		pause := sweepEvery
		if again > 0 {
			pause = again
		}
		if err == nil {
			retry = 0
		} else {
			retry = min(max(2*retry, firstRetry), lastRetry)
			pause = min(pause, retry)
			p.log.V(1).Info("Looking for what the engine has left; trying again", "after", pause.String(), "reason", err.Error())
		}
		if !p.sweeper.rest(ctx, pause) {
			return nil
		}
	}
}

// rest waits for the next sweep. What asks for one waits for the shortest pause.
func (s *sweeper) rest(ctx context.Context, pause time.Duration) bool {
	least, timer := time.NewTimer(sweepPause), time.NewTimer(max(pause, sweepPause))
	defer least.Stop()
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-least.C:
	}
	select {
	case <-ctx.Done():
		return false
	case <-s.kick:
	case <-timer.C:
	}
	return true
}

// sweep looks once, and tells when to look again. An engine that does not answer
// is an error; what can be judged without it is.
func (p *Plugin) sweep(ctx context.Context) (again time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	f, engineErr, err := p.look(ctx)
	if err != nil {
		return 0, err
	}
	if f.engine != "" {
		p.pointUnasked(ctx)
	}
	left := judge(f)
	if left.none() {
		return left.again, engineErr
	}
	return left.again, errors.Join(engineErr, p.clear(ctx, left))
}

func (p *Plugin) look(ctx context.Context) (f facts, engineErr, err error) {
	if f.links, err = p.host.Links(); err != nil {
		return f, nil, fmt.Errorf("listing interfaces: %w", err)
	}
	p.sweeper.mu.Lock()
	f.making, f.greeted = maps.Clone(p.sweeper.inHand), p.sweeper.greeted
	p.sweeper.mu.Unlock()
	if f.attachments, err = p.all(ctx); err != nil {
		return f, nil, err
	}
	f.now = p.now()
	f.worked = p.locks.worked()
	so := map[string]place{}
	for _, a := range f.attachments {
		so[a.notes[noteEndpoint]] = a.place()
	}
	p.known.keep(func(endpoint string, at place) bool { return so[endpoint] == at })
	if f.networks, err = p.networks(ctx); err != nil {
		return f, nil, err
	}
	// Each question to the engine has its own time: there is one for each network.
	if f.endpoints, engineErr = p.engine.Endpoints(ctx); engineErr == nil {
		f.engine, engineErr = p.engineID(ctx)
	}
	if engineErr != nil {
		f.engine, f.endpoints = "", nil
		engineErr = fmt.Errorf("asking the engine for its endpoints: %w", engineErr)
	}
	return f, engineErr, nil
}

// clear removes leftovers; endpoints before their networks.
func (p *Plugin) clear(ctx context.Context, left leftovers) error {
	var errs []error
	for _, a := range left.attachments {
		p.log.Info("Removing an endpoint that the engine does not have", "attachment", a.GetName(), "endpoint", a.notes[noteEndpoint], "addresses", a.GetAddresses())
		errs = append(errs, p.removeIf(ctx, a))
	}
	for _, n := range left.networks {
		p.log.Info("Removing a network that the engine does not have", "network", n.id)
		if _, err := p.control.DeleteBridge(ctx, &controlpb.DeleteBridgeRequest{NetworkId: n.id}); err != nil {
			errs = append(errs, fmt.Errorf("network %s: %w", n.id, plain(err)))
		}
	}
	for _, l := range left.links {
		p.log.Info("Removing an interface without an attachment", "interface", l.Outer)
		errs = append(errs, p.host.RemoveLink(l.Outer, l.Key))
	}
	return errors.Join(errs...)
}
