// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventsclient "k8s.io/client-go/kubernetes/typed/events/v1"
)

func TestOldEventsAreRemoved(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := Start(ctx, Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop(ctx)
	events, err := eventsclient.NewForConfig(s.Config())
	if err != nil {
		t.Fatal(err)
	}
	for n := range 30 {
		_, err := events.Events("default").Create(ctx, &eventsv1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("e-%d", n)}, EventTime: metav1.NowMicro(),
			ReportingController: "test", ReportingInstance: "test", Action: "Test", Reason: "Test", Type: "Normal",
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	count := func() int {
		t.Helper()
		list, err := events.Events("").List(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Items)
	}
	p, err := newPruner(s.api.config, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if p.maxAge != time.Hour || p.maxCount != 1000 {
		t.Errorf("events are kept for %v and up to %d, want 1h and 1000", p.maxAge, p.maxCount)
	}
	if err := p.prune(ctx); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 30 {
		t.Errorf("%d events within the limits are left, want 30", n)
	}
	p.maxCount = 10
	if err := p.prune(ctx); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 10 {
		t.Errorf("%d events are left, want 10", n)
	}
	p.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	if err := p.prune(ctx); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 0 {
		t.Errorf("%d events are left after their time", n)
	}
}
