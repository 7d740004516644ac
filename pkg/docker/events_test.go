// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/moby/moby/client"
)

func eventStream(t *testing.T, w *world) {
	begin := time.Now()
	r := w.Events(within(t, patience), client.EventsListOptions{Filters: client.Filters{}.Add("type", "network")})
	c := w.container(t, "ce1")
	id := w.create(t, "ev", client.NetworkCreateOptions{IPAM: ipam("10.51.0.0/24")})
	if _, err := w.NetworkConnect(within(t, patience), "ev", client.NetworkConnectOptions{Container: "ce1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.NetworkDisconnect(within(t, patience), "ev", client.NetworkDisconnectOptions{Container: "ce1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.NetworkRemove(within(t, patience), "ev", client.NetworkRemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	want := []string{"create ev ", "connect ev " + c.ID, "disconnect ev " + c.ID, "destroy ev "}
	for _, w := range want {
		select {
		case m := <-r.Messages:
			if got := string(m.Action) + " " + m.Actor.Attributes["name"] + " " + m.Actor.Attributes["container"]; got != w || m.Actor.ID != id || m.Actor.Attributes["type"] != "bridge" || m.Scope != "local" {
				t.Errorf("%+v, want %s", m, w)
			}
		case err := <-r.Err:
			t.Fatal(err)
		}
	}
	// All of them are past when the calls have answered.
	past := w.Events(within(t, patience), client.EventsListOptions{Since: stamp(begin), Until: stamp(time.Now()), Filters: client.Filters{}.Add("network", "ev")})
	var got []string
	for done := false; !done; {
		select {
		case m := <-past.Messages:
			got = append(got, string(m.Action))
		case <-past.Err:
			done = true
		}
	}
	if fmt.Sprint(got) != "[create connect disconnect destroy]" {
		t.Errorf("past events: %v", got)
	}
	w.refused(t, "GET", "/events?since=x", "", 400, `invalid value for 'since': invalid timestamp "x": invalid seconds "x": invalid syntax`)
	w.refused(t, "GET", "/events?since=2&until=1", "", 400, "`since` time (2) cannot be after `until` time (1)")
}

func stamp(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }
