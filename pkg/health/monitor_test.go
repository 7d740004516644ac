// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"

	"github.com/vas-solutus/arca-network/pkg/health"
)

// part is a component whose state a test decides.
type part struct {
	found atomic.Pointer[health.Measurement]
	looks atomic.Int32
}

func (p *part) is(m health.Measurement) { p.found.Store(&m) }

func (p *part) measure(context.Context) health.Measurement {
	p.looks.Add(1)
	return *p.found.Load()
}

func run(t *testing.T, m *health.Monitor) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
}

func component(t *testing.T, m *health.Monitor, name string) health.Component {
	t.Helper()
	c, found := m.Report().Component(name)
	if !found {
		t.Fatalf("no component %s", name)
	}
	return c
}

// TestTransitions: since changes with the state and not with each look; errors
// and round trips stay known; subscribers hear of changes alone.
func TestTransitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p part
		p.is(health.Measurement{RoundTrip: 3 * time.Millisecond})
		m := health.New(logr.Discard(), health.Check{Name: "x", Measure: p.measure, StillWorks: []string{health.Traffic}})
		if r := m.Report(); r.State != health.Unknown || r.Ready != true || component(t, m, "x").State != health.Unknown {
			t.Errorf("before the first look: %+v", r)
		}
		var heard []health.State
		cancel := m.Subscribe(func(r health.Report) { heard = append(heard, r.State) })
		run(t, m)
		well := component(t, m, "x")
		if well.State != health.OK || well.RoundTrip.Duration != 3*time.Millisecond || well.LastError != "" {
			t.Errorf("well: %+v", well)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if c := component(t, m, "x"); !c.Since.Equal(&well.Since) || !c.Measured.After(well.Measured.Time) || p.looks.Load() < 6 {
			t.Errorf("still well after %d looks: %+v, was %+v", p.looks.Load(), c, well)
		}

		p.is(health.Measurement{Err: errors.New("it broke")})
		time.Sleep(time.Minute)
		synctest.Wait()
		ill := component(t, m, "x")
		if ill.State != health.Unhealthy || !ill.Since.After(well.Since.Time) || ill.LastError != "it broke" ||
			!slices.Equal(ill.StillWorks, []string{health.Traffic}) || ill.RoundTrip != well.RoundTrip {
			t.Errorf("ill: %+v", ill)
		}
		if r := m.Report(); r.State != health.Degraded || r.Message != "x is unhealthy" || !r.Since.Equal(&ill.Since) {
			t.Errorf("what is not essential degrades the whole: %+v", r)
		}

		p.is(health.Measurement{})
		time.Sleep(3 * time.Second) // it is looked at more often while it is ill
		synctest.Wait()
		again := component(t, m, "x")
		if again.State != health.OK || again.LastError != "it broke" || len(again.StillWorks) != 0 || !again.Since.After(ill.Since.Time) {
			t.Errorf("well again: %+v", again)
		}
		cancel()
		p.is(health.Measurement{State: health.Degraded})
		time.Sleep(time.Minute)
		synctest.Wait()
		want := []health.State{health.OK, health.Degraded, health.OK}
		if !slices.Equal(heard, want) {
			t.Errorf("heard of %v, want %v", heard, want)
		}
	})
}

// TestMeaning: what a component that does not work means to the whole.
func TestMeaning(t *testing.T) {
	all := []string{health.Traffic, health.Reading, health.Changing}
	for name, c := range map[string]struct {
		check        health.Check
		found        health.Measurement
		state        health.State
		alive, ready bool
	}{
		"well":                  {health.Check{Liveness: true, Readiness: true, Essential: true}, health.Measurement{}, health.OK, true, true},
		"not needed for much":   {health.Check{}, health.Measurement{Err: errors.New("x")}, health.Degraded, true, true},
		"needed for change":     {health.Check{Readiness: true}, health.Measurement{Err: errors.New("x")}, health.Degraded, true, false},
		"essential":             {health.Check{Essential: true}, health.Measurement{Err: errors.New("x")}, health.Unhealthy, true, true},
		"needed for life":       {health.Check{Liveness: true, Readiness: true}, health.Measurement{Err: errors.New("x")}, health.Degraded, false, false},
		"slow":                  {health.Check{Liveness: true, Readiness: true, Essential: true}, health.Measurement{State: health.Degraded}, health.Degraded, true, true},
		"it cannot be known":    {health.Check{Readiness: true, Essential: true}, health.Measurement{State: health.Unknown}, health.Unknown, true, false},
		"its look overrides":    {health.Check{}, health.Measurement{State: health.Degraded, StillWorks: []string{health.Reading}}, health.Degraded, true, true},
		"not in use, but vital": {health.Check{Liveness: true}, health.Measurement{State: health.Disabled}, health.OK, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.check.Name, c.check.StillWorks = "x", all
				c.check.Measure = func(context.Context) health.Measurement { return c.found }
				m := health.New(logr.Discard(), health.NotInUse("y"), c.check)
				run(t, m)
				r := m.Report()
				if r.State != c.state || r.Alive != c.alive || r.Ready != c.ready {
					t.Errorf("got %s alive %v ready %v, want %s %v %v", r.State, r.Alive, r.Ready, c.state, c.alive, c.ready)
				}
				works := all
				if c.found.StillWorks != nil {
					works = c.found.StillWorks
				}
				if r.State == health.OK {
					works = nil
				}
				if !slices.Equal(r.StillWorks, works) {
					t.Errorf("still works: %q, want %q", r.StillWorks, works)
				}
			})
		})
	}
}

// TestStillWorks: with several that do not work, only what none takes away.
func TestStillWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ill := func(context.Context) health.Measurement { return health.Measurement{Err: errors.New("x")} }
		m := health.New(logr.Discard(),
			health.Check{Name: "a", Measure: ill, StillWorks: []string{health.Traffic, health.Reading}},
			health.Check{Name: "b", Measure: ill, StillWorks: []string{health.Reading, health.Changing}})
		run(t, m)
		if r := m.Report(); !slices.Equal(r.StillWorks, []string{health.Reading}) {
			t.Errorf("still works: %q", r.StillWorks)
		}
	})
}

// TestHangs: a component whose look never ends is unhealthy by its deadline, is
// not looked at twice at a time, and keeps nobody else waiting.
func TestHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int32
		release := make(chan struct{})
		hang := func(context.Context) health.Measurement { looks.Add(1); <-release; return health.Measurement{} }
		var p part
		p.is(health.Measurement{})
		m := health.New(logr.Discard(), health.Check{Name: "hangs", Measure: hang, Timeout: time.Second}, health.Check{Name: "well", Measure: p.measure})
		run(t, m)
		time.Sleep(time.Minute)
		synctest.Wait()
		if c := component(t, m, "hangs"); c.State != health.Unhealthy || !strings.Contains(c.LastError, "no answer within 1s") || looks.Load() != 1 {
			t.Errorf("after %d looks: %+v", looks.Load(), c)
		}
		if c := component(t, m, "well"); c.State != health.OK || p.looks.Load() < 6 {
			t.Errorf("after %d looks: %+v", p.looks.Load(), c)
		}
		close(release)
		synctest.Wait()
		if c := component(t, m, "hangs"); c.State != health.OK {
			t.Errorf("after it came back: %+v", c)
		}
	})
}

// TestPace: looking never takes more than a hundredth of the time, and an event
// has a component looked at at once.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int32
		slow := func(context.Context) health.Measurement {
			looks.Add(1)
			time.Sleep(300 * time.Millisecond)
			return health.Measurement{}
		}
		m := health.New(logr.Discard(), health.Check{Name: "slow", Measure: slow, Every: time.Second})
		run(t, m)
		time.Sleep(5 * time.Minute)
		if n := looks.Load(); n < 9 || n > 10 {
			t.Errorf("%d looks of 300 ms in 5 minutes, want one each 30 s", n)
		}
		before := looks.Load()
		m.Look("slow")
		m.Look("nobody")
		synctest.Wait()
		if n := looks.Load(); n != before+1 {
			t.Errorf("%d looks after an event, want %d", n, before+1)
		}
	})
}

func TestHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store, path part
		store.is(health.Measurement{})
		path.is(health.Measurement{Err: errors.New("northd is away")})
		m := health.New(logr.Discard(),
			health.Check{Name: "store", Measure: store.measure, Liveness: true, Readiness: true},
			health.Check{Name: "path", Measure: path.measure, Readiness: true})
		run(t, m)
		get := func(method, url string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			m.Handler().ServeHTTP(w, httptest.NewRequest(method, url, nil))
			return w
		}
		for _, c := range []struct {
			method, url string
			code        int
			says        string
		}{
			{"GET", "/healthz", 200, "store: OK"},
			{"GET", "/readyz", 503, "path: Unhealthy northd is away"},
			{"GET", health.Path, 200, "Degraded"},
			{"POST", "/healthz", 405, "must be GET or HEAD"},
			{"PUT", health.Path, 405, "must be GET or HEAD"},
			{"GET", "/", 404, ""},
		} {
			if w := get(c.method, c.url); w.Code != c.code || !strings.Contains(w.Body.String(), c.says) {
				t.Errorf("%s %s: %d %q, want %d and %q", c.method, c.url, w.Code, w.Body, c.code, c.says)
			}
		}
		if body := get("GET", "/healthz").Body.String(); strings.Contains(body, "path") {
			t.Errorf("/healthz speaks of what is not needed for life: %q", body)
		}
		var r health.Report
		if err := json.Unmarshal(get("GET", health.Path).Body.Bytes(), &r); err != nil || r.Ready || !r.Alive || len(r.Components) != 2 {
			t.Errorf("report %+v, error %v", r, err)
		}
		path.is(health.Measurement{})
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if w := get("GET", "/readyz"); w.Code != http.StatusOK {
			t.Errorf("/readyz after it is well again: %d %q", w.Code, w.Body)
		}
	})
}
