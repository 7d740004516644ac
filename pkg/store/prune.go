// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// pruner keeps events from filling the disk: those older than maxAge go, and
// the oldest beyond maxCount.
type pruner struct {
	client   metadata.Interface
	log      logr.Logger
	maxAge   time.Duration
	maxCount int
	interval time.Duration
	now      func() time.Time
}

func newPruner(config *rest.Config, log logr.Logger) (*pruner, error) {
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &pruner{
		client: client, log: log.WithName("events"),
		maxAge: time.Hour, maxCount: 1000, interval: 30 * time.Second, now: time.Now,
	}, nil
}

// run prunes until ctx ends. A recorder that runs wild is limited by its own
// rate limit, so what comes in between two rounds is bounded too.
func (p *pruner) run(ctx context.Context) {
	ticker := time.NewTicker(p.interval)
	defer ticker.Stop()
	for {
		round, cancel := context.WithTimeout(ctx, p.interval)
		err := p.prune(round)
		cancel()
		if err != nil && ctx.Err() == nil {
			p.log.Error(err, "Could not remove old events, trying again later")
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *pruner) prune(ctx context.Context) error {
	list, err := p.client.Resource(eventsResource).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	events := list.Items
	slices.SortFunc(events, func(a, b metav1.PartialObjectMetadata) int {
		return b.CreationTimestamp.Compare(a.CreationTimestamp.Time)
	})
	oldest := p.now().Add(-p.maxAge)
	for i, event := range events {
		if i < p.maxCount && event.CreationTimestamp.After(oldest) {
			continue
		}
		err := p.client.Resource(eventsResource).Namespace(event.Namespace).Delete(ctx, event.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("event %s/%s: %w", event.Namespace, event.Name, err)
		}
	}
	return nil
}
