// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// TestJudge: what stays and what goes.
func TestJudge(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(age time.Duration, more notes) notes {
		return notes{noteMaker: maker, noteSince: now.Add(-age).Format(time.RFC3339Nano)}.with(more)
	}
	attached := func(n notes) []attachment {
		return []attachment{{&controlpb.ContainerNetwork{Name: "a", Interface: &controlpb.Interface{Name: "arcao1"}}, n}}
	}
	endpoint := notes{noteEndpoint: "e1", noteNetwork: "n1"}
	has := map[string]map[string]bool{"n1": {"e1": true}}
	hasNot := map[string]map[string]bool{"n1": {}}
	made := network{id: "n1", notes: at(time.Hour, notes{noteEngine: "E"})}
	theirs := network{id: "n1", notes: at(time.Hour, notes{noteEngine: "F"})}
	for _, c := range []struct {
		name string
		f    facts
		want string
	}{
		{"a reservation of a moment ago", facts{attachments: attached(at(time.Second, nil))}, "again"},
		{"a reservation that nobody took", facts{attachments: attached(at(time.Minute, nil))}, "attachment"},
		{"a reservation of before the engine's start", facts{greeted: now, attachments: attached(at(time.Second, nil))}, "attachment"},
		{"an attachment without a time", facts{attachments: attached(notes{noteMaker: maker})}, "attachment"},
		{"an endpoint that the engine has", facts{engine: "E", endpoints: has, attachments: attached(at(time.Hour, endpoint))}, ""},
		{"an endpoint that it has not", facts{engine: "E", endpoints: hasNot, attachments: attached(at(time.Hour, endpoint))}, "attachment"},
		{"an endpoint that it has not yet", facts{engine: "E", endpoints: hasNot, attachments: attached(at(time.Second, endpoint))}, "again"},
		{"an endpoint of before its start", facts{engine: "E", endpoints: hasNot, greeted: now, attachments: attached(at(time.Second, endpoint))}, "attachment"},
		{"an engine that does not answer", facts{greeted: now, attachments: attached(at(time.Hour, endpoint)), networks: []network{made}}, ""},
		{"an endpoint of another engine", facts{engine: "E", attachments: attached(at(time.Hour, endpoint)), networks: []network{theirs}}, ""},
		{"an endpoint of a network that is not ours", facts{engine: "E", attachments: attached(at(time.Hour, endpoint))}, ""},
		{"an endpoint of this engine on a network that it has not", facts{engine: "E", attachments: attached(at(time.Hour, endpoint).with(notes{noteEngine: "E"}))}, "attachment"},
		{"an endpoint of another engine on its network", facts{engine: "E", attachments: attached(at(time.Hour, endpoint).with(notes{noteEngine: "F"}))}, ""},
		{"a network that the engine has forgotten", facts{engine: "E", attachments: attached(at(time.Hour, endpoint)), networks: []network{made}}, "attachment network"},
		{"a network that it has", facts{engine: "E", endpoints: has, networks: []network{made}}, ""},
		{"a network that it is making", facts{engine: "E", networks: []network{{id: "n1", notes: at(time.Second, notes{noteEngine: "E"})}}}, "again"},
		{"a network of others", facts{engine: "E", networks: []network{{id: "n1", notes: notes{noteEngine: "E"}}}}, ""},
		{"a network of nobody knows which engine", facts{engine: "E", networks: []network{{id: "n1", notes: at(time.Hour, nil)}}}, ""},
		{"an interface that is used", facts{engine: "E", endpoints: has, attachments: attached(at(time.Hour, endpoint)), links: []Link{{Outer: "arcao1"}}}, ""},
		{"an interface that is being made", facts{making: map[string]bool{"arcao2": true}, links: []Link{{Outer: "arcao2"}}}, ""},
		{"an interface of nobody", facts{links: []Link{{Outer: "arcao2"}}}, "link"},
	} {
		c.f.now = now
		left := judge(c.f)
		got := strings.TrimSpace(strings.Repeat("attachment ", len(left.attachments)) + strings.Repeat("network ", len(left.networks)) + strings.Repeat("link ", len(left.links)))
		if left.again > 0 {
			got += "again"
		}
		if got != c.want {
			t.Errorf("%s: %q goes, want %q", c.name, got, c.want)
		}
	}
}

// TestSweep: an engine was killed in the middle, and is started again.
func TestSweep(t *testing.T) {
	w := newWorld(t)
	pool := w.network("n1", "10.88.0.0/24")
	kept := w.endpoint("n1", pool, "e1", mac1)
	w.endpoint("n1", pool, "e2", mac2)
	w.ok("IpamDriver.RequestAddress", addressRequest(pool, "", "02:42:00:00:00:03"))
	w.network("n2", "10.89.0.0/24")
	if err := w.host.MakeLink(Link{Outer: "arcaostray", Key: "k"}); err != nil {
		t.Fatal(err)
	}
	w.engine.endpoints["n1"] = map[string]bool{"e1": true, "e2": true}
	w.engine.endpoints["n2"] = map[string]bool{}
	sweep := func(fails bool) {
		t.Helper()
		if _, err := w.plugin.sweep(t.Context()); (err != nil) != fails {
			t.Errorf("sweep: %v", err)
		}
	}
	sweep(false)
	delete(w.host.links, "arcaostray")
	if lines := strings.Count(w.control.state(), "\n") + 1; lines != 5 {
		t.Errorf("something was removed:\n%s", w.control.state())
	}
	delete(w.engine.endpoints["n1"], "e2")
	delete(w.engine.endpoints, "n2")
	w.clock = w.clock.Add(time.Second)
	w.engine.away = true
	w.ok("Plugin.Activate", "")
	sweep(true) // the engine has still to put its containers in order
	w.engine.away = false
	sweep(false)
	w.state("endpoint e1 on n1: " + kept + " " + mac1 + "\nnetwork n1 10.88.0.0/24")

	if _, ok := w.plugin.known.get("e2"); ok || len(w.plugin.known.of) != 1 {
		t.Errorf("endpoints are remembered that are gone: %v", w.plugin.known.of)
	}
	// A network goes with what is forgotten on it.
	w.ok("NetworkDriver.DeleteNetwork", `{"NetworkID":"n1"}`)
	w.state("")
	if len(w.plugin.locks.held) != 0 {
		t.Errorf("locks are left: %v", fmt.Sprint(w.plugin.locks.held))
	}
}

// TestSweepMeetsCreation: the engine stores an endpoint when it is answered, however
// long that took. Until a while after that, a sweep leaves it.
func TestSweepMeetsCreation(t *testing.T) {
	for _, c := range []struct {
		name string
		// answered is when the call ends: while the engine is asked for its endpoints,
		// or when the sweep is over, or waits for the call.
		duringLook bool
	}{{"after the sweep", false}, {"during the sweep", true}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			pool := w.network("n1", "10.88.0.0/24")
			w.engine.endpoints["n1"] = map[string]bool{}
			address := w.ok("IpamDriver.RequestAddress", addressRequest(pool, "", mac1))["Address"].(string)
			written, answer := make(chan struct{}), make(chan struct{})
			w.control.written = func() {
				close(written)
				<-answer
			}
			created, swept := make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := w.plugin.createEndpoint(t.Context(), createEndpointRequest{
					NetworkID: "n1", EndpointID: "e1", Interface: &endpointInterface{Address: address, MacAddress: mac1},
				})
				created <- err
			}()
			<-written
			w.control.written = nil
			w.clock = w.clock.Add(graceEndpoint + 2*time.Second)
			end := func() {
				close(answer)
				if err := <-created; err != nil {
					t.Error(err)
				}
			}
			if c.duringLook {
				w.engine.asked = end
			}
			var again time.Duration
			go func() {
				var err error
				again, err = w.plugin.sweep(t.Context())
				swept <- err
			}()
			if !c.duringLook {
				for limit := time.Now().Add(10 * time.Second); len(swept) == 0 && w.plugin.locks.users() < 2 && time.Now().Before(limit); {
					time.Sleep(time.Millisecond)
				}
				end()
			}
			if err := <-swept; err != nil {
				t.Error(err)
			}
			w.engine.asked = nil
			made := "endpoint e1 on n1: " + address + " " + mac1 + "\nnetwork n1 10.88.0.0/24"
			w.state(made)
			if again != graceEndpoint+time.Second {
				t.Errorf("it is looked at again after %s, want a second more than %s", again, graceEndpoint)
			}
			// The engine was killed over the answer.
			w.clock = w.clock.Add(graceEndpoint)
			if _, err := w.plugin.sweep(t.Context()); err != nil {
				t.Error(err)
			}
			w.state(made)
			w.clock = w.clock.Add(time.Second)
			if _, err := w.plugin.sweep(t.Context()); err != nil {
				t.Error(err)
			}
			w.state("network n1 10.88.0.0/24")
		})
	}
}

// TestSweepMeetsNetwork: the engine stores a network too when it is answered.
func TestSweepMeetsNetwork(t *testing.T) {
	w := newWorld(t)
	sweep := func() (again time.Duration) {
		t.Helper()
		again, err := w.plugin.sweep(t.Context())
		if err != nil {
			t.Error(err)
		}
		return again
	}
	w.control.bridged = func() {
		w.clock = w.clock.Add(graceEndpoint + 2*time.Second)
		sweep()
	}
	w.network("n1", "10.88.0.0/24")
	w.control.bridged = nil
	made := "network n1 10.88.0.0/24"
	w.state(made)
	w.clock = w.clock.Add(graceEndpoint)
	if again := sweep(); again != time.Second {
		t.Errorf("it is looked at again after %s, want a second", again)
	}
	w.state(made)
	// The engine was killed over the answer.
	w.clock = w.clock.Add(time.Second)
	sweep()
	w.state("")
}

// users are the calls that work on attachments, or wait for that.
func (l *locks) users() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.held {
		n += k.users
	}
	return n
}
