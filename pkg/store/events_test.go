// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	eventsclient "k8s.io/client-go/kubernetes/typed/events/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/vas-solutus/arca-network/pkg/store"
)

// The recorder of a manager works as it does with Kubernetes, which includes
// counting what is repeated.
func TestManagerRecordsEvents(t *testing.T) {
	s := startStore(t, store.Options{Dir: t.TempDir()})
	defer stopStore(t, s)
	manager, err := ctrl.NewManager(s.Config(), ctrl.Options{
		Scheme: scheme.Scheme, Metrics: metricsserver.Options{BindAddress: "0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	events, err := eventsclient.NewForConfig(s.Config())
	if err != nil {
		t.Fatal(err)
	}
	watcher, err := events.Events("").Watch(ctx, metav1.ListOptions{FieldSelector: "regarding.name=one"})
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Stop()
	object := widget("one", 1)
	object.SetUID("6b1c1f0e-0000-0000-0000-000000000001")
	recorder := manager.GetEventRecorder("test")
	recorder.Eventf(object, nil, corev1.EventTypeWarning, "Broken", "Testing", "it broke %d times", 2)
	got := nextEvent(t, watcher.ResultChan())
	if got.Reason != "Broken" || got.Note != "it broke 2 times" || got.Action != "Testing" ||
		got.Regarding.Kind != "Widget" || got.Regarding.Name != "one" || got.Type != corev1.EventTypeWarning || got.EventTime.IsZero() {
		t.Errorf("the event is %+v", got)
	}
	recorder.Eventf(object, nil, corev1.EventTypeWarning, "Broken", "Testing", "it broke %d times", 3)
	if got := nextEvent(t, watcher.ResultChan()); got.Series == nil || got.Series.Count != 2 {
		t.Errorf("the repeated event has the series %+v, want a count of 2", got.Series)
	}
}

func nextEvent(t *testing.T, from <-chan watch.Event) *eventsv1.Event {
	t.Helper()
	select {
	case e := <-from:
		event, ok := e.Object.(*eventsv1.Event)
		if !ok {
			t.Fatalf("%s %T", e.Type, e.Object)
		}
		return event
	case <-time.After(20 * time.Second):
		t.Fatal("no event came")
		return nil
	}
}
