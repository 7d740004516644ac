// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// forgetful is a control API whose second stream cannot go on from the first, as after
// its store was restored.
type forgetful struct {
	controlpb.NetworkControlClient
	versions, made chan string
	streams        int
}

func (f *forgetful) CreateBridge(_ context.Context, r *controlpb.CreateBridgeRequest, _ ...grpc.CallOption) (*controlpb.CreateBridgeResponse, error) {
	f.made <- r.GetNetworkId()
	return &controlpb.CreateBridgeResponse{}, nil
}

func (f *forgetful) Watch(ctx context.Context, r *controlpb.WatchRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[controlpb.WatchEvent], error) {
	f.versions <- r.GetVersion()
	f.streams++
	if f.streams == 2 {
		return nil, status.Error(codes.OutOfRange, "too old")
	}
	return &stream{ctx: ctx, lasts: f.streams > 2}, nil
}

// stream lists nothing, and ends, or lasts.
type stream struct {
	grpc.ServerStreamingClient[controlpb.WatchEvent]
	ctx   context.Context
	lasts bool
	told  bool
}

func (s *stream) Recv() (*controlpb.WatchEvent, error) {
	if !s.told {
		s.told = true
		return &controlpb.WatchEvent{Type: controlpb.WatchEvent_SYNCED, Version: "7"}, nil
	}
	if s.lasts {
		<-s.ctx.Done()
	}
	return nil, status.Error(codes.Unavailable, "away")
}

// TestBridgeIsMadeAfterARestore: where the objects are listed anew, nobody has told that
// the predefined network is gone.
func TestBridgeIsMadeAfterARestore(t *testing.T) {
	f := &forgetful{versions: make(chan string, 8), made: make(chan string, 8)}
	s := NewServer(Options{Control: f, Log: logr.Discard()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	next := func(of <-chan string, want string) {
		t.Helper()
		select {
		case got := <-of:
			if got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%q did not come", want)
		}
	}
	next(f.versions, "")
	next(f.made, BridgeNetwork)
	next(f.versions, "7")
	for len(f.made) > 0 {
		<-f.made // of the first list
	}
	next(f.versions, "")
	next(f.made, BridgeNetwork)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
