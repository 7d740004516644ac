// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Trigger is a source of requests: what happens outside the API (a row edited
// by hand, a port that came up) enqueues the objects that it is about. The
// queue folds equal requests, so it is bounded by the number of objects.
type Trigger struct {
	mu    sync.Mutex
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
	early []string
}

var _ source.Source = (*Trigger)(nil)

// Start is called by the controller that watches the trigger.
func (t *Trigger) Start(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = q
	for _, name := range t.early {
		q.Add(request(name))
	}
	t.early = nil
	return nil
}

// maxEarly bounds what is kept before the controller started. More is not
// needed: a controller's first act is to look at every object.
const maxEarly = 1024

// Enqueue asks for the objects of these names to be reconciled.
func (t *Trigger) Enqueue(names ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queue == nil {
		if len(t.early)+len(names) <= maxEarly {
			t.early = append(t.early, names...)
		}
		return
	}
	for _, name := range names {
		t.queue.Add(request(name))
	}
}

// one enqueues one request, whatever object changes: for reconcilers whose work is
// one whole.
func one(name string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{request(name)}
	})
}

// gathering is how long a change waits for others of its kind.
const gathering = 10 * time.Millisecond

// gathered is one for changes that come in numbers and of which each asks for a pass
// over all: those that follow each other share it. It also lets who waits for the object
// have its answer before the pass takes a processor.
func gathered(name string) handler.EventHandler {
	ask := func(q workqueue.TypedRateLimitingInterface[reconcile.Request]) { q.AddAfter(request(name), gathering) }
	return handler.Funcs{
		CreateFunc: func(_ context.Context, _ event.CreateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			ask(q)
		},
		UpdateFunc: func(_ context.Context, _ event.UpdateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			ask(q)
		},
		DeleteFunc: func(_ context.Context, _ event.DeleteEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			ask(q)
		},
	}
}

func request(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Name: name}}
}
