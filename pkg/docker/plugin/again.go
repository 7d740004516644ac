// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

const (
	reasonSubnetOverlap    = v1alpha1.ReasonSubnetOverlap
	reasonAddressInUse     = v1alpha1.ReasonAddressInUse
	reasonAddressNotUsable = v1alpha1.ReasonAddressNotUsable
	reasonPoolExhausted    = v1alpha1.ReasonPoolExhausted
	reasonPortInUse        = v1alpha1.ReasonPortInUse
)

func codeOf(err error) codes.Code { return status.Code(err) }

func messageOf(err error) string {
	s, ok := status.FromError(err)
	if !ok {
		return ""
	}
	return s.Message()
}

// reasonOf is the reason of the condition that an error comes from, if any.
func reasonOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// pauseAgain is how long a server that went away is left to come back.
const pauseAgain = 100 * time.Millisecond

// again repeats calls that found the server away, or lost it, for as long as the
// caller waits: all of them may be repeated.
type again struct{ Control }

func repeat[Request, Response any](ctx context.Context, r Request, options []grpc.CallOption, do func(context.Context, Request, ...grpc.CallOption) (Response, error)) (Response, error) {
	for {
		out, err := do(ctx, r, options...)
		if codeOf(err) != codes.Unavailable {
			return out, err
		}
		pause := time.NewTimer(pauseAgain)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return out, err
		}
	}
}

func (a again) CreateBridge(ctx context.Context, r *controlpb.CreateBridgeRequest, o ...grpc.CallOption) (*controlpb.CreateBridgeResponse, error) {
	return repeat(ctx, r, o, a.Control.CreateBridge)
}

func (a again) DeleteBridge(ctx context.Context, r *controlpb.DeleteBridgeRequest, o ...grpc.CallOption) (*controlpb.DeleteBridgeResponse, error) {
	return repeat(ctx, r, o, a.Control.DeleteBridge)
}

func (a again) ListBridges(ctx context.Context, r *controlpb.ListBridgesRequest, o ...grpc.CallOption) (*controlpb.ListBridgesResponse, error) {
	return repeat(ctx, r, o, a.Control.ListBridges)
}

func (a again) AttachContainer(ctx context.Context, r *controlpb.AttachContainerRequest, o ...grpc.CallOption) (*controlpb.AttachContainerResponse, error) {
	return repeat(ctx, r, o, a.Control.AttachContainer)
}

func (a again) UpdateContainer(ctx context.Context, r *controlpb.UpdateContainerRequest, o ...grpc.CallOption) (*controlpb.AttachContainerResponse, error) {
	return repeat(ctx, r, o, a.Control.UpdateContainer)
}

func (a again) DetachContainer(ctx context.Context, r *controlpb.DetachContainerRequest, o ...grpc.CallOption) (*controlpb.DetachContainerResponse, error) {
	return repeat(ctx, r, o, a.Control.DetachContainer)
}

func (a again) GetContainerNetworks(ctx context.Context, r *controlpb.GetContainerNetworksRequest, o ...grpc.CallOption) (*controlpb.GetContainerNetworksResponse, error) {
	return repeat(ctx, r, o, a.Control.GetContainerNetworks)
}
