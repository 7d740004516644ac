// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

func TestObserved(t *testing.T) {
	const added, modified, deleted = controlpb.WatchEvent_ADDED, controlpb.WatchEvent_MODIFIED, controlpb.WatchEvent_DELETED
	network := func(of controlpb.WatchEvent_Type, name, uid string, programmed bool) *controlpb.WatchEvent {
		return &controlpb.WatchEvent{Type: of, Object: &controlpb.WatchEvent_Network{Network: &controlpb.BridgeInfo{
			NetworkId: name, Uid: uid, Name: name, Conditions: []*controlpb.Condition{{Type: "Programmed", Status: programmed}}}}}
	}
	endpoint := func(of controlpb.WatchEvent_Type, container, network, uid string, ready bool) *controlpb.WatchEvent {
		return &controlpb.WatchEvent{Type: of, Object: &controlpb.WatchEvent_Attachment{Attachment: &controlpb.ContainerNetwork{
			Name: container + "." + network, Uid: uid, NetworkId: network, ContainerId: container, Conditions: []*controlpb.Condition{{Type: "Ready", Status: ready}}}}}
	}
	// What an engine's driver makes is an endpoint when it says whose.
	reserved := func(of controlpb.WatchEvent_Type, endpoint string) *controlpb.WatchEvent {
		a := &controlpb.ContainerNetwork{Name: "r.n", Uid: "10", NetworkId: "n", ContainerId: "r",
			Annotations: map[string]string{AnnotationMadeBy: "plugin"}, Conditions: []*controlpb.Condition{{Type: "Ready", Status: true}}}
		if endpoint != "" {
			a.Annotations[AnnotationEndpointID], a.Annotations[AnnotationContainer] = endpoint, "its-id"
		}
		return &controlpb.WatchEvent{Type: of, Object: &controlpb.WatchEvent_Attachment{Attachment: a}}
	}
	leaving := endpoint(modified, "d", "n", "6", true)
	leaving.GetAttachment().Deleting = true
	synced := &controlpb.WatchEvent{Type: controlpb.WatchEvent_SYNCED}
	o := newObserved()
	begin := func() string { o.begin(); return "" }
	tell := func(e *controlpb.WatchEvent) string {
		var out []string
		for _, m := range o.observe(e) {
			out = append(out, strings.TrimSpace(string(m.Action)+" "+m.Actor.Attributes["name"]+" "+m.Actor.Attributes["container"]))
		}
		return strings.Join(out, ", ")
	}
	// What there was is no news.
	if got := begin() + tell(network(added, "old", "1", true)) + tell(endpoint(added, "c", "old", "2", true)) + tell(synced); got != "" {
		t.Errorf("told %q of what there was", got)
	}
	for i, step := range []struct {
		event *controlpb.WatchEvent
		want  string
	}{
		{network(added, "n", "3", false), ""},
		{network(modified, "n", "3", true), "create n"},
		{network(modified, "n", "3", true), ""},
		{network(added, "refused", "4", false), ""},
		{network(deleted, "refused", "4", false), ""},
		{endpoint(added, "d", "n", "5", false), ""},
		{endpoint(modified, "d", "n", "5", true), "connect n d"},
		{endpoint(modified, "d", "n", "5", false), ""},
		{endpoint(modified, "d", "n", "5", true), ""},
		// Another of the name: the deletion was missed.
		{endpoint(added, "d", "n", "6", true), "disconnect n d, connect n d"},
		// It has left when it is to go; what was made for it goes later.
		{leaving, "disconnect n d"},
		{leaving, ""},
		{endpoint(deleted, "d", "n", "6", true), ""},
		{reserved(added, ""), ""},
		{reserved(modified, DerivedID("e")), "connect n its-id"},
		{reserved(deleted, DerivedID("e")), "disconnect n its-id"},
		{endpoint(deleted, "c", "old", "2", true), "disconnect old c"},
		{network(deleted, "n", "3", true), "destroy n"},
		{endpoint(added, "e", "old", "7", true), "connect old e"},
	} {
		if got := tell(step.event); got != step.want {
			t.Errorf("step %d: told %q, want %q", i, got, step.want)
		}
	}
	// Told anew, after events were missed: what is not there has gone.
	begin()
	if diff := cmp.Diff([]string{"create late", "", "disconnect old e, destroy old"},
		[]string{tell(network(added, "late", "8", true)), tell(endpoint(added, "x", "unknown", "9", true)), tell(synced)}); diff != "" {
		t.Error(diff)
	}
	if len(o.networks) != 1 || len(o.endpoints) != 1 {
		t.Errorf("%d networks and %d endpoints are kept", len(o.networks), len(o.endpoints))
	}
}

func TestEventLogBounded(t *testing.T) {
	l := newEventLog()
	_, slow, cancel := l.subscribe(timeZero, timeZero)
	defer cancel()
	for range 3 * subscriberBuffer {
		l.log(newMessage())
	}
	if len(l.past) != keptEvents || len(slow) != subscriberBuffer {
		t.Errorf("%d past events and %d unread ones are kept", len(l.past), len(slow))
	}
	l.close()
	l.close()
	l.log(newMessage())
	if _, coming, _ := l.subscribe(timeZero, timeZero); coming == nil {
		t.Error("no channel")
	} else if _, open := <-coming; open {
		t.Error("a log that is closed goes on")
	}
}
