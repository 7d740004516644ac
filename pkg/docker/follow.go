// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

const (
	firstRetry   = 100 * time.Millisecond
	longestRetry = 5 * time.Second
)

// Run follows the objects until ctx is done: it tells events, and makes the
// predefined network where it is missing.
func (s *Server) Run(ctx context.Context) error {
	missing := make(chan struct{}, 1)
	missing <- struct{}{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.keepBridge(ctx, missing)
	}()
	defer func() { <-ended }()

	version, pause := "", firstRetry
	for {
		next, err := s.followOnce(ctx, version, missing)
		s.events.follow(false)
		if ctx.Err() != nil {
			return nil
		}
		if next != version {
			pause = firstRetry // it had worked
		}
		version = next
		if status.Code(err) == codes.OutOfRange {
			version = ""
		} else {
			s.log.V(1).Info("The objects cannot be followed; it is tried again", "error", err.Error(), "after", pause.String())
		}
		if !sleep(ctx, pause) {
			return nil
		}
		pause = min(2*pause, longestRetry)
	}
}

// followOnce follows the objects as long as one stream lasts, and returns how far
// it has come.
func (s *Server) followOnce(ctx context.Context, version string, missing chan<- struct{}) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.control.Watch(ctx, &controlpb.WatchRequest{Version: version})
	if err != nil {
		return version, err
	}
	there := version != "" // the predefined network, as far as is known
	if version == "" {
		s.events.begin()
	}
	for {
		e, err := stream.Recv()
		if err != nil {
			return version, err
		}
		s.events.observe(e)
		if e.GetType() == controlpb.WatchEvent_SYNCED {
			s.events.follow(true)
		}
		bridge := e.GetNetwork().GetNetworkId() == BridgeNetwork
		there = there || bridge
		// Its deletion may have been missed; then a list of all is without it.
		if bridge && e.GetType() == controlpb.WatchEvent_DELETED || !there && e.GetType() == controlpb.WatchEvent_SYNCED {
			select {
			case missing <- struct{}{}:
			default:
			}
		}
		// The versions of what is told at first are not those to go on from.
		if e.GetVersion() != "" {
			version = e.GetVersion()
		}
	}
}

// makeBridge has the predefined network made. One that somebody else has made
// as they wanted it is as good.
func (s *Server) makeBridge(ctx context.Context) error {
	_, err := s.control.CreateBridge(ctx, bridgeRequest())
	if status.Code(err) == codes.AlreadyExists {
		return nil
	}
	return err
}

// keepBridge makes the predefined network each time that it is told that it is
// missing, until it is there.
func (s *Server) keepBridge(ctx context.Context, missing <-chan struct{}) {
	for {
		select {
		case <-missing:
		case <-ctx.Done():
			return
		}
		for pause := firstRetry; ; pause = min(2*pause, longestRetry) {
			attempt, done := context.WithTimeout(ctx, callTimeout)
			err := s.makeBridge(attempt)
			done()
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return
			}
			s.log.Error(err, "The predefined network could not be made; it is tried again", "network", BridgeNetwork, "after", pause.String())
			if !sleep(ctx, pause) {
				return
			}
		}
	}
}

// sleep waits, and tells whether there is time left.
func sleep(ctx context.Context, d time.Duration) bool {
	ctx, done := context.WithTimeout(ctx, d)
	defer done()
	<-ctx.Done()
	return errors.Is(ctx.Err(), context.DeadlineExceeded)
}
