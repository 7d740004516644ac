// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/config/crd"
	"github.com/vas-solutus/arca-network/pkg/control"
	"github.com/vas-solutus/arca-network/pkg/store"
)

type stream = grpc.ServerStreamingClient[controlpb.WatchEvent]

func (w *world) watch(t *testing.T, r *controlpb.WatchRequest) stream {
	t.Helper()
	s, err := w.Watch(within(t, patience), r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// nameOf is the kind and name of an event's object.
func nameOf(e *controlpb.WatchEvent) string {
	switch o := e.Object.(type) {
	case *controlpb.WatchEvent_Network:
		return "network/" + o.Network.NetworkId
	case *controlpb.WatchEvent_Attachment:
		return "attachment/" + o.Attachment.ContainerId + "." + o.Attachment.NetworkId
	case *controlpb.WatchEvent_Policy:
		return "policy/" + o.Policy.Name
	}
	return ""
}

// until reads events until one is as is says, and returns those before it.
func until(t *testing.T, s stream, is func(*controlpb.WatchEvent) bool) (before []*controlpb.WatchEvent, last *controlpb.WatchEvent) {
	t.Helper()
	for {
		e, err := s.Recv()
		if err != nil {
			t.Fatalf("%v, after %v", err, before)
		}
		if is(e) {
			return before, e
		}
		before = append(before, e)
	}
}

func of(kind controlpb.WatchEvent_Type, name string) func(*controlpb.WatchEvent) bool {
	return func(e *controlpb.WatchEvent) bool { return e.Type == kind && nameOf(e) == name }
}

func TestWatch(t *testing.T) {
	w := startWorld(t, atOnce)
	w.network(t, "a", "10.1.0.0/24")
	if _, err := w.CreateBridge(within(t, patience), &controlpb.CreateBridgeRequest{NetworkId: "m", Subnet: "10.2.0.0/24", Manager: "mine"}); err != nil {
		t.Fatal(err)
	}
	w.attach(t, tap("c", "a"))

	all := w.watch(t, &controlpb.WatchRequest{})
	before, synced := until(t, all, of(controlpb.WatchEvent_SYNCED, ""))
	names := []string{}
	for _, e := range before {
		if e.Type != controlpb.WatchEvent_ADDED {
			t.Errorf("before SYNCED: %v", e)
		}
		names = append(names, nameOf(e))
	}
	if fmt.Sprint(names) != "[network/a network/m attachment/c.a]" {
		t.Errorf("there was %v", names)
	}
	mine := w.watch(t, &controlpb.WatchRequest{Manager: "mine"})
	if before, _ := until(t, mine, of(controlpb.WatchEvent_SYNCED, "")); len(before) != 1 || nameOf(before[0]) != "network/m" {
		t.Errorf("of manager mine: %v", before)
	}

	// Changes of objects and of conditions.
	n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	w.condition(t, n, func() {
		set(n, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNorthboundUnavailable, "gone")
	})
	_, changed := until(t, all, func(e *controlpb.WatchEvent) bool {
		for _, c := range e.GetNetwork().GetConditions() {
			if c.Type == v1alpha1.ConditionReady && !c.Status && c.Message == "gone" {
				return true
			}
		}
		return false
	})
	cleanUp(t, w, "m")
	cleanUp(t, w, "a", "c")
	until(t, all, of(controlpb.WatchEvent_DELETED, "attachment/c.a"))
	// The kinds come by ways of their own: the one may be ahead of the other.
	if before, _ := until(t, mine, of(controlpb.WatchEvent_DELETED, "network/m")); len(before) > 4 {
		t.Errorf("of manager mine: %v", before)
	}

	// Resumed, it tells what has happened since, and nothing else.
	for _, version := range []string{synced.Version, changed.Version} {
		again := w.watch(t, &controlpb.WatchRequest{Version: version})
		if before, _ := until(t, again, of(controlpb.WatchEvent_SYNCED, "")); len(before) != 0 {
			t.Errorf("resumed from %s it told %v", version, before)
		}
		seen := map[string]bool{}
		until(t, again, func(e *controlpb.WatchEvent) bool {
			if e.Type == controlpb.WatchEvent_DELETED {
				seen[nameOf(e)] = true
			}
			return len(seen) == 3
		})
	}
	for _, c := range []struct {
		version string
		code    codes.Code
	}{{"x", codes.InvalidArgument}, {"1-2", codes.InvalidArgument}, {"9999999-9999999-9999999", codes.OutOfRange}} {
		_, err := w.watch(t, &controlpb.WatchRequest{Version: c.version}).Recv()
		wantCode(t, err, c.code)
	}
}

// A client that does not read is cut off, and costs the others nothing.
func TestWatchSlowClient(t *testing.T) {
	t.Parallel()
	const buffer, changes, size = 16, 100, 16 << 10
	w := startWorldWith(t, nobody, control.Options{WatchBuffer: buffer})
	slow := w.watch(t, &controlpb.WatchRequest{})
	until(t, slow, of(controlpb.WatchEvent_SYNCED, ""))
	reader := w.watch(t, &controlpb.WatchRequest{})
	until(t, reader, of(controlpb.WatchEvent_SYNCED, ""))
	n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	if err := w.api.Create(within(t, patience), n); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("x", size)
	for i := range changes {
		set(n, v1alpha1.ConditionReady, metav1.ConditionFalse, "Testing", fmt.Sprint(i, large))
		if err := w.api.Status().Update(within(t, patience), n); err != nil {
			t.Fatal(err)
		}
		if e, err := reader.Recv(); err != nil || nameOf(e) != "network/n" { // one behind, never more
			t.Fatalf("a client that reads: %v, %v", e, err)
		}
	}
	received := 0
	for {
		_, err := slow.Recv()
		if err == nil {
			received++
			continue
		}
		wantCode(t, err, codes.ResourceExhausted)
		break
	}
	// The buffer, and what gRPC lets be under way: 64 KiB on either side.
	if most := buffer + 2*(64<<10)/size + 2; received == 0 || received > most {
		t.Errorf("%d of %d events were kept for it, want at most %d", received, changes, most)
	}
}

// TestWatchAcrossRestore: a client that watches on after the store was put back is
// told to begin anew, though the store has come to its version again.
func TestWatchAcrossRestore(t *testing.T) {
	crds, err := crd.All()
	if err != nil {
		t.Fatal(err)
	}
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "backup.db")
	start := func() *store.Store {
		t.Helper()
		s, err := store.Start(within(t, time.Minute), store.Options{Dir: dir, CRDs: crds})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := start()
	w := startWorldOn(t, s.Config(), nobody, control.Options{})
	if err := store.Backup(within(t, patience), dir, backup); err != nil {
		t.Fatal(err)
	}
	all := w.watch(t, &controlpb.WatchRequest{})
	until(t, all, of(controlpb.WatchEvent_SYNCED, ""))
	if err := w.api.Create(within(t, patience), &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "lost"}}); err != nil {
		t.Fatal(err)
	}
	_, seen := until(t, all, of(controlpb.WatchEvent_ADDED, "network/lost"))
	for range 2 {
		w.stop()
		if err := s.Stop(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		if err := store.Restore(within(t, patience), backup, dir); err != nil {
			t.Fatal(err)
		}
		s = start()
		w = startWorldOn(t, s.Config(), nobody, control.Options{})
		for range 5 { // as many changes as were lost, and more
			if err := s.Check(within(t, patience)); err != nil {
				t.Fatal(err)
			}
		}
		again := w.watch(t, &controlpb.WatchRequest{Version: seen.Version})
		var err error
		for e := (*controlpb.WatchEvent)(nil); err == nil; e, err = again.Recv() {
			if e != nil && e.Type != controlpb.WatchEvent_SYNCED {
				t.Errorf("an event after the restore: %v", e)
			}
		}
		wantCode(t, err, codes.OutOfRange)
	}
	w.stop()
	if err := s.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
}
