// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"
)

// Stop ends the store: no new requests, running ones finish, watches end, the
// database is closed and the folder is free again. It may be called more than
// once. When ctx ends first, stopping goes on in the background.
func (s *Store) Stop(ctx context.Context) error {
	go s.stop()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stopping the store in %s: %w", s.dir, ctx.Err())
	}
}

// shutdown takes down what start has set up, however far that got, in the
// opposite order.
func (s *Store) shutdown() {
	close(s.stopping)
	defer close(s.done)
	if s.stopPrune != nil {
		s.stopPrune()
		<-s.pruned
	}
	s.shutdownAPI()
	if s.health != nil {
		if err := s.health.etcd.Close(); err != nil {
			s.log.V(1).Info("Health client did not close cleanly", "error", err.Error())
		}
	}
	if s.ds != nil {
		s.ds.stop()
	}
	if s.lock != nil {
		if err := s.lock.release(); err != nil {
			s.log.Error(err, "Could not release the lock on the state folder", "dir", s.dir)
		}
	}
}

func (s *Store) shutdownAPI() {
	if s.stopAPI == nil {
		return
	}
	// A start that was given up early has to be waited for first. If it does
	// not get there, the datastore is broken; the API server then stays behind
	// without one, which is better than the exit it would make of it.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if !s.api.settled(ctx) {
		s.log.Error(nil, "The API server could not be stopped because it never got ready", "dir", s.dir)
		return
	}
	s.stopAPI()
	<-s.apiDone
	if s.apiErr != nil {
		s.log.V(1).Info("API server did not stop cleanly", "error", s.apiErr.Error())
	}
}
