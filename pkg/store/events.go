// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
)

// Events are kept for an hour as in Kubernetes, and at most so many.
const (
	eventAge   = time.Hour
	eventCount = 1000
	eventPrune = 5 * time.Minute
)

var eventResource = schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}

// pruneEvents keeps the number of events bounded until the API ends.
func (s *Store) pruneEvents(log logr.Logger) {
	client, err := metadata.NewForConfig(s.config)
	if err != nil {
		log.Error(err, "Events will not be pruned")
		return
	}
	tick := time.NewTicker(eventPrune)
	defer tick.Stop()
	for {
		select {
		case <-s.serverDone:
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if err := pruneEventsOnce(ctx, client, time.Now()); err != nil {
			log.V(1).Info("Pruning events failed; trying again later", "error", err.Error())
		}
		cancel()
	}
}

func pruneEventsOnce(ctx context.Context, client metadata.Interface, now time.Time) error {
	list, err := client.Resource(eventResource).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, e := range expired(list.Items, now) {
		if err := client.Resource(eventResource).Namespace(e.Namespace).Delete(ctx, e.Name, metav1.DeleteOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// expired chooses the events that are too old, and the oldest beyond the count.
func expired(events []metav1.PartialObjectMetadata, now time.Time) []metav1.PartialObjectMetadata {
	slices.SortFunc(events, func(x, y metav1.PartialObjectMetadata) int {
		return cmp.Compare(y.CreationTimestamp.UnixNano(), x.CreationTimestamp.UnixNano())
	})
	for i, e := range events {
		if i >= eventCount || now.Sub(e.CreationTimestamp.Time) > eventAge {
			return events[i:]
		}
	}
	return nil
}
