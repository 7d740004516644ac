// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Measurement is what one look at a component has found.
type Measurement struct {
	// State is OK if empty and Err is nil, and Unhealthy if empty and Err is not.
	State State
	// RoundTrip is how long the component took to answer; if 0, the time that
	// the look took.
	RoundTrip time.Duration
	// Message says what was found, for people.
	Message string
	// Err is what is wrong.
	Err error
	// StillWorks replaces that of the Check, if not nil.
	StillWorks []string
}

// Check says how a component is measured and what it means to the whole.
type Check struct {
	Name string
	// Measure looks at the component, within ctx. nil: the component is Disabled.
	Measure func(context.Context) Measurement
	// Every is the pause between two looks: 10 s if 0. It is longer where a look
	// takes long, so that looking never takes more than about a hundredth of the
	// time, and shorter while the component is not well.
	Every time.Duration
	// Timeout bounds one look; 5 s if 0. One that takes longer is Unhealthy.
	Timeout time.Duration
	// Liveness: without it the process is not alive.
	Liveness bool
	// Readiness: without it a change does not become traffic.
	Readiness bool
	// Essential: without it all is Unhealthy, not only Degraded.
	Essential bool
	// StillWorks says what works without it: Traffic, Reading, Changing.
	StillWorks []string
}

const (
	defaultEvery   = 10 * time.Second
	defaultTimeout = 5 * time.Second
	// retryEvery is the pause while a component is not well.
	retryEvery = 2 * time.Second
	// share is how many times longer a pause is than the look before it, and
	// longestEvery how long a pause becomes by that.
	share        = 100
	longestEvery = time.Minute
)

// Monitor measures components and keeps the report.
type Monitor struct {
	log    logr.Logger
	checks []Check
	kicks  []chan struct{}
	report atomic.Pointer[Report]

	mu          sync.Mutex // of what follows, and of replacing the report
	subscribers map[int]func(Report)
	next        int
}

// New returns a Monitor that knows nothing until Run. A name that is given
// twice is a mistake of the program's.
func New(log logr.Logger, checks ...Check) *Monitor {
	m := &Monitor{log: log, checks: slices.Clone(checks), subscribers: map[int]func(Report){}}
	now := metav1.Now()
	components := make([]Component, len(checks))
	for i, c := range checks {
		if slices.ContainsFunc(checks[:i], func(o Check) bool { return o.Name == c.Name }) {
			panic("health: two components have the name " + c.Name)
		}
		components[i] = Component{Name: c.Name, State: Unknown, Since: now}
		if c.Measure == nil {
			components[i].State = Disabled
		} else {
			components[i].StillWorks = c.StillWorks
		}
		m.kicks = append(m.kicks, make(chan struct{}, 1))
	}
	r := summarise(Report{}, m.checks, components, now.Time)
	m.report.Store(&r)
	return m
}

// Report returns what is known. It waits for nothing.
func (m *Monitor) Report() Report { return *m.report.Load() }

// Subscribe calls fn after a component, or all, has come into another state,
// until cancel is called. fn must not block, and must not call Subscribe or
// cancel.
func (m *Monitor) Subscribe(fn func(Report)) (cancel func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.next
	m.next++
	m.subscribers[id] = fn
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.subscribers, id)
	}
}

// Look has a component measured now, for something has happened that it is about.
// A name that is not known is ignored.
func (m *Monitor) Look(name string) {
	for i, c := range m.checks {
		if c.Name == name {
			select {
			case m.kicks[i] <- struct{}{}:
			default: // one is waiting already
			}
		}
	}
}

// Run measures until ctx is done.
func (m *Monitor) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for i, c := range m.checks {
		if c.Measure != nil {
			wg.Go(func() { m.keepMeasuring(ctx, i) })
		}
	}
	wg.Wait()
	return nil
}

func (m *Monitor) keepMeasuring(ctx context.Context, i int) {
	c := m.checks[i]
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-m.kicks[i]:
		}
		from := time.Now()
		found, ok := m.look(ctx, i)
		if !ok {
			return
		}
		m.record(i, found)
		timer.Reset(pauseAfter(c, found, time.Since(from)))
	}
}

// look measures a component; false where ctx ended. A look that does not heed
// its deadline is waited for, so that there are never two at a time, but what
// is said meanwhile is that it is late.
func (m *Monitor) look(ctx context.Context, i int) (Measurement, bool) {
	c := m.checks[i]
	result := make(chan Measurement, 1)
	go func() { result <- measure(ctx, c) }()
	late := time.NewTimer(c.timeout() + grace)
	defer late.Stop()
	for {
		select {
		case found := <-result:
			return found, ctx.Err() == nil
		case <-late.C:
			m.record(i, Measurement{State: Unhealthy, Err: fmt.Errorf("%w within %v", errLate, c.timeout())})
		case <-ctx.Done():
			select {
			case <-result:
			case <-time.After(grace):
			}
			return Measurement{}, false
		}
	}
}

// pauseAfter is how long to wait before the next look.
func pauseAfter(c Check, found Measurement, took time.Duration) time.Duration {
	every := c.Every
	if every == 0 {
		every = defaultEvery
	}
	if found.State.Worse(OK) {
		return min(every, retryEvery)
	}
	return max(every, min(share*took, longestEvery))
}

// errLate is the error of a look that took too long.
var errLate = errors.New("no answer")

// grace is how much later than its deadline a look may come back.
const grace = 500 * time.Millisecond

func (c Check) timeout() time.Duration {
	if c.Timeout == 0 {
		return defaultTimeout
	}
	return c.Timeout
}

// measure looks once.
func measure(ctx context.Context, c Check) Measurement {
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	from := time.Now()
	found := c.Measure(ctx)
	if found.RoundTrip == 0 {
		found.RoundTrip = time.Since(from)
	}
	if found.State == "" {
		found.State = OK
		if found.Err != nil {
			found.State = Unhealthy
		}
	}
	return found
}

// record puts a measurement into the report.
func (m *Monitor) record(i int, found Measurement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.Report()
	now := metav1.Now()
	c := before.Components[i]
	changed := c.State != found.State
	if changed {
		c.State, c.Since = found.State, now
	}
	c.Measured, c.Message, c.StillWorks = now, found.Message, nil
	if found.Err != nil {
		c.LastError, c.LastErrorTime = found.Err.Error(), now
		if c.Message == "" {
			c.Message = found.Err.Error()
		}
	} else {
		c.RoundTrip = metav1.Duration{Duration: found.RoundTrip}
	}
	if c.State.Worse(OK) {
		c.StillWorks = m.checks[i].StillWorks
		if found.StillWorks != nil {
			c.StillWorks = found.StillWorks
		}
	}
	components := slices.Clone(before.Components)
	components[i] = c
	after := summarise(before, m.checks, components, now.Time)
	m.report.Store(&after)
	if !changed && after.State == before.State {
		return
	}
	m.log.Info("Health has changed", "component", c.Name, "state", c.State, "message", c.Message, "all", after.State)
	for _, fn := range m.subscribers {
		fn(after)
	}
}
