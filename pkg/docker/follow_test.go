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

// toldControl tells of objects by streams that a test has written.
type toldControl struct {
	controlpb.NetworkControlClient
	streams chan *toldStream
	made    chan string
}

func (c *toldControl) CreateBridge(_ context.Context, r *controlpb.CreateBridgeRequest, _ ...grpc.CallOption) (*controlpb.CreateBridgeResponse, error) {
	c.made <- r.GetNetworkId()
	return &controlpb.CreateBridgeResponse{}, nil
}

func (c *toldControl) Watch(ctx context.Context, _ *controlpb.WatchRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[controlpb.WatchEvent], error) {
	select {
	case s := <-c.streams:
		s.ctx = ctx
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// toldStream ends with an error, or when its context is done.
type toldStream struct {
	grpc.ClientStream
	ctx    context.Context
	events []*controlpb.WatchEvent
	end    error
}

func (s *toldStream) Recv() (*controlpb.WatchEvent, error) {
	if len(s.events) > 0 {
		e := s.events[0]
		s.events = s.events[1:]
		return e, nil
	}
	if s.end == nil {
		<-s.ctx.Done()
		return nil, s.ctx.Err()
	}
	return nil, s.end
}

// The predefined network is made at the start, and again when it is missing: also
// where nobody told that it was deleted.
func TestBridgeIsKept(t *testing.T) {
	network := func(kind controlpb.WatchEvent_Type, id, version string) *controlpb.WatchEvent {
		return &controlpb.WatchEvent{Type: kind, Version: version, Object: &controlpb.WatchEvent_Network{Network: &controlpb.BridgeInfo{NetworkId: id}}}
	}
	bridge := network(controlpb.WatchEvent_ADDED, BridgeNetwork, "")
	other := network(controlpb.WatchEvent_ADDED, "web", "")
	synced := &controlpb.WatchEvent{Type: controlpb.WatchEvent_SYNCED, Version: "7"}
	old := status.Error(codes.OutOfRange, "the version is too old")
	for name, c := range map[string]struct {
		streams []*toldStream
		again   bool
	}{
		"deleted":                {[]*toldStream{{events: []*controlpb.WatchEvent{bridge, synced, network(controlpb.WatchEvent_DELETED, BridgeNetwork, "8")}}}, true},
		"another is deleted":     {[]*toldStream{{events: []*controlpb.WatchEvent{bridge, other, synced, network(controlpb.WatchEvent_DELETED, "web", "8")}}}, false},
		"missing in the list":    {[]*toldStream{{events: []*controlpb.WatchEvent{other, synced}}}, true},
		"missed its deletion":    {[]*toldStream{{events: []*controlpb.WatchEvent{bridge, synced}, end: old}, {events: []*controlpb.WatchEvent{other, synced}}}, true},
		"told from there on":     {[]*toldStream{{events: []*controlpb.WatchEvent{bridge, synced}, end: status.Error(codes.Unavailable, "away")}, {events: []*controlpb.WatchEvent{synced}}}, false},
		"there in both lists":    {[]*toldStream{{events: []*controlpb.WatchEvent{bridge, synced}, end: old}, {events: []*controlpb.WatchEvent{bridge, synced}}}, false},
		"a list that broke off":  {[]*toldStream{{events: []*controlpb.WatchEvent{other}, end: status.Error(codes.Unavailable, "away")}, {events: []*controlpb.WatchEvent{bridge, synced}}}, false},
		"deleted and made again": {[]*toldStream{{events: []*controlpb.WatchEvent{bridge, synced, network(controlpb.WatchEvent_DELETED, BridgeNetwork, "8"), network(controlpb.WatchEvent_ADDED, BridgeNetwork, "9")}}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			control := &toldControl{streams: make(chan *toldStream), made: make(chan string)}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- NewServer(Options{Control: control, Log: logr.Discard()}).Run(ctx) }()
			defer func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}()
			if id := <-control.made; id != BridgeNetwork {
				t.Fatalf("%s is made at the start, want %s", id, BridgeNetwork)
			}
			if !c.again { // so that it asks again when it has been told all
				c.streams[len(c.streams)-1].end = old
			}
			for _, s := range c.streams {
				control.streams <- s
			}
			if c.again {
				select {
				case <-control.made:
				case <-time.After(10 * time.Second):
					t.Error("it is not made again")
				}
				return
			}
			select {
			case control.streams <- &toldStream{}:
			case <-control.made:
				t.Error("it is made again, though it is there")
			}
		})
	}
}
