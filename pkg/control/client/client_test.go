// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// leaving is a server that goes away over the first calls.
type leaving struct {
	controlpb.UnimplementedNetworkControlServer
	left  int
	calls int
	// pushback is what it says of asking again.
	pushback string
}

func (l *leaving) answer(ctx context.Context) error {
	l.calls++
	if l.calls <= l.left {
		if l.pushback != "" {
			if err := grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", l.pushback)); err != nil {
				return err
			}
		}
		return status.Error(codes.Unavailable, "stopping")
	}
	return nil
}

func (l *leaving) ListBridges(ctx context.Context, _ *controlpb.ListBridgesRequest) (*controlpb.ListBridgesResponse, error) {
	return &controlpb.ListBridgesResponse{}, l.answer(ctx)
}

func (l *leaving) GetContainerNetworks(ctx context.Context, _ *controlpb.GetContainerNetworksRequest) (*controlpb.GetContainerNetworksResponse, error) {
	return &controlpb.GetContainerNetworksResponse{}, l.answer(ctx)
}

func (l *leaving) CreateBridge(ctx context.Context, _ *controlpb.CreateBridgeRequest) (*controlpb.CreateBridgeResponse, error) {
	return &controlpb.CreateBridgeResponse{}, l.answer(ctx)
}

// A read that loses its server asks the next one; a write is the caller's to
// repeat, and a server that stays away is told.
func TestReadsAskAgain(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, test := range map[string]struct {
		left, calls int
		pushback    string
		code        codes.Code
		do          func(*Client) error
	}{
		"ListBridges": {2, 3, "", codes.OK, func(c *Client) error {
			_, err := c.ListBridges(ctx, &controlpb.ListBridgesRequest{})
			return err
		}},
		"GetContainerNetworks": {2, 3, "", codes.OK, func(c *Client) error {
			_, err := c.GetContainerNetworks(ctx, &controlpb.GetContainerNetworksRequest{})
			return err
		}},
		"CreateBridge": {1, 1, "", codes.Unavailable, func(c *Client) error {
			_, err := c.CreateBridge(ctx, &controlpb.CreateBridgeRequest{})
			return err
		}},
		"ListBridges of a store that is away": {1, 1, "-1", codes.Unavailable, func(c *Client) error {
			_, err := c.ListBridges(ctx, &controlpb.ListBridgesRequest{})
			return err
		}},
		"ListBridges of nobody": {100, 5, "", codes.Unavailable, func(c *Client) error {
			_, err := c.ListBridges(ctx, &controlpb.ListBridgesRequest{})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			listener, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			l, server := &leaving{left: test.left, pushback: test.pushback}, grpc.NewServer()
			controlpb.RegisterNetworkControlServer(server, l)
			go func() { _ = server.Serve(listener) }()
			defer server.Stop()
			c, err := Dial("unix://"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := test.do(c); status.Code(err) != test.code {
				t.Errorf("got %v, want %s", err, test.code)
			}
			if l.calls != test.calls {
				t.Errorf("the server got %d calls, want %d", l.calls, test.calls)
			}
		})
	}
}

// TestDialRefusesTargets: a target that nobody can ever answer at is told at once. A call
// would wait for it until its deadline, and say that the server is away.
func TestDialRefusesTargets(t *testing.T) {
	for _, target := range []string{"", "/run/s", "fd://3", "vsock://:9999", "tcp://h:9999", "http://h"} {
		c, err := Dial(target, nil)
		if err == nil {
			_ = c.Close()
			t.Errorf("Dial(%q) is no error", target)
		}
	}
}
