// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// Watcher watches the objects of a server.
type Watcher interface {
	Watch(context.Context, *controlpb.WatchRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[controlpb.WatchEvent], error)
}

// Snapshot calls fn with each object that there is now: what Watch begins with.
func Snapshot(ctx context.Context, from Watcher, fn func(*controlpb.WatchEvent)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := from.Watch(ctx, &controlpb.WatchRequest{})
	if err != nil {
		return err
	}
	for {
		event, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("the list of all objects ended before its end")
		case err != nil:
			return err
		case event.GetType() == controlpb.WatchEvent_SYNCED:
			return nil
		}
		fn(event)
	}
}
