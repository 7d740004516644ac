// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
)

// expectations records what a driver is told.
type expectations struct{ expected, forgotten chan Endpoint }

func (e expectations) Expect(_ context.Context, p Endpoint) error { e.expected <- p; return nil }
func (e expectations) Forget(_ context.Context, p Endpoint) error { e.forgotten <- p; return nil }

func next[T any](t *testing.T, from chan T) (told T) {
	t.Helper()
	select {
	case told = <-from:
	case <-time.After(patience):
		t.Fatal("nothing is told")
	}
	return told
}

// startedOnce is an engine with one container, on web, that has not run yet. It
// keeps the settings with which it is connected anew.
type startedOnce struct {
	version  string
	started  int // the status of a start
	settings chan object
}

func (s startedOnce) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	web := testNetworks[1]
	name := shadowName(web.ID)
	w.Header().Set("Api-Version", s.version)
	switch _, path := split(r.URL.Path); path {
	case "/containers/c1/json":
		_, _ = fmt.Fprintf(w, `{"Id":"1234","Name":"/c1","State":{"Running":false},"NetworkSettings":{"Networks":{%q:{"IPAMConfig":{"IPv4Address":"10.88.0.7","LinkLocalIPs":["169.254.8.8","fe80::8"]},
			"DriverOpts":{"network.arca.dev/hostname":"c1","network.arca.dev/aliases":"a,b"}}}}}`, name)
	case "/networks/" + name:
		_, _ = fmt.Fprintf(w, `{"Id":"99","Name":%q,"Options":{%q:%q},"Labels":{%q:%q}}`, name, optionNetwork, web.Object, labelID, web.ID)
	case "/networks/" + name + "/disconnect", "/networks/" + name + renewal + "/connect", "/networks/" + name + renewal + "/disconnect":
	case "/networks/" + name + "/connect":
		data, _ := io.ReadAll(r.Body)
		body, _, _ := parseObject(data)
		s.settings <- body.part("EndpointConfig")
	case "/containers/c1/start":
		w.WriteHeader(s.started)
	default:
		http.NotFound(w, r)
	}
}

// What takes the driver long is begun before the engine asks for it, by the MAC
// address that it will ask by, and taken back where the engine does not.
func TestEndpointsAreExpected(t *testing.T) {
	for _, c := range []struct {
		name, version string
		started       int
		expected      bool
		forgotten     bool
	}{
		{"started", "1.54", http.StatusNoContent, true, false},
		{"not started", "1.56", http.StatusInternalServerError, true, true},
		{"by an engine that takes no MAC address", "1.53", http.StatusNoContent, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			engine := startedOnce{c.version, c.started, make(chan object, 1)}
			driver := expectations{make(chan Endpoint, 1), make(chan Endpoint, 1)}
			e, err := New(Options{Address: serve(t, engine), Networks: testNetworks, Driver: driver, Log: testr.New(t)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(e.Close)
			proxy := client(t, serve(t, e.InFrontOf(http.NotFoundHandler())))
			answer, err := proxy.Post("http://d/v1.40/containers/c1/start", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != c.started {
				t.Errorf("the answer is %d, want the engine's %d", answer.StatusCode, c.started)
			}
			settings := next(t, engine.settings)
			mac := settings.text("MacAddress")
			if !c.expected {
				if mac != "" || len(driver.expected) > 0 {
					t.Errorf("MAC address %q is asked for, and %d endpoints are expected", mac, len(driver.expected))
				}
				return
			}
			p := next(t, driver.expected)
			want := `{"Network":"web-object","MAC":"` + mac + `","Addresses":["10.88.0.7"],"LinkLocal":["169.254.8.8","fe80::8"],"Name":"c1","Aliases":["a","b"]}`
			if diff := cmp.Diff(want, expectedJSON(t, p)); diff != "" || mac == "" {
				t.Errorf("the engine is asked for %q; %s", mac, diff)
			}
			if got := settings.options().text(optionLinkLocal); got != "169.254.8.8,fe80::8" {
				t.Errorf("the driver is told of link-local addresses %q", got)
			}
			if mac != settings.options().text(optionMAC) {
				t.Errorf("the next start would ask for %q, this one for %q", settings.options().text(optionMAC), mac)
			}
			if c.forgotten {
				if diff := cmp.Diff(want, expectedJSON(t, next(t, driver.forgotten))); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func expectedJSON(t *testing.T, p Endpoint) string {
	t.Helper()
	data, err := json.Marshal(map[string]any{"Network": p.Network, "MAC": p.MAC.String(), "Addresses": p.Addresses, "LinkLocal": p.LinkLocal, "Name": p.Name, "Aliases": p.Aliases})
	if err != nil {
		t.Fatal(err)
	}
	var o, sorted object
	if o, _, err = parseObject(data); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Network", "MAC", "Addresses", "LinkLocal", "Name", "Aliases"} {
		sorted = append(sorted, member{name, o.get(name)})
	}
	return string(sorted.encode())
}

// slowToForget takes its time to forget, or until somebody has heard an answer.
type slowToForget struct {
	heard chan struct{}
	early chan bool // whether that was before it had forgotten
}

func (slowToForget) Expect(context.Context, Endpoint) error { return nil }

func (s slowToForget) Forget(context.Context, Endpoint) error {
	select {
	case <-s.heard:
		s.early <- true
	case <-time.After(200 * time.Millisecond):
		s.early <- false
	}
	return nil
}

// Who hears that a container was not started can remove its network.
func TestForgottenBeforeTheAnswer(t *testing.T) {
	engine := startedOnce{"1.54", http.StatusInternalServerError, make(chan object, 1)}
	driver := slowToForget{make(chan struct{}), make(chan bool, 1)}
	e, err := New(Options{Address: serve(t, engine), Networks: testNetworks, Driver: driver, Log: testr.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	answer, err := client(t, serve(t, e.InFrontOf(http.NotFoundHandler()))).Post("http://d/containers/c1/start", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	close(driver.heard)
	if next(t, driver.early) {
		t.Error("the client hears that its container was not started while the endpoint is still expected")
	}
}

// A client of an old version cannot ask for a MAC address when it connects, and is
// not let by the version that is used for ours.
func TestOldClientsMACIsIgnored(t *testing.T) {
	e := &Engine{expects: expectations{}}
	version := "1.56"
	e.apiVersion.Store(&version)
	for path, want := range map[string]string{
		"/v1.53/networks/n/connect": "true /networks/n/connect", "/v1.54/networks/n/connect": "false /networks/n/connect",
		"/networks/n/connect": "false /networks/n/connect",
	} {
		r, err := http.NewRequest(http.MethodPost, "http://d"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(e.newest(r), " ", r.URL.Path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
