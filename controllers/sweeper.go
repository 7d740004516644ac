// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// sweeper triggers every object of a kind when asked to, in a goroutine of its
// own: whoever asks (a database's event loop) never waits for a cache.
type sweeper struct {
	client  client.Reader
	list    func() client.ObjectList
	trigger *Trigger
	log     logr.Logger
	bell    // asks for a sweep
}

func newSweeper(c client.Reader, list func() client.ObjectList, t *Trigger, log logr.Logger) *sweeper {
	return &sweeper{client: c, list: list, trigger: t, log: log, bell: newBell()}
}

// Start runs until ctx is done. The manager calls it once its caches are filled.
func (s *sweeper) Start(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.bell:
		}
		list := s.list()
		if err := s.client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			s.log.Error(err, "Listing from the cache")
			continue
		}
		switch l := list.(type) {
		case *v1alpha1.NetworkList:
			s.trigger.Enqueue(names(l.Items)...)
		case *v1alpha1.AttachmentList:
			s.trigger.Enqueue(names(l.Items)...)
		}
	}
}

func allNetworks() client.ObjectList    { return &v1alpha1.NetworkList{} }
func allAttachments() client.ObjectList { return &v1alpha1.AttachmentList{} }
