// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/pkg/control/transport"
)

// DefaultTarget is where arca-network listens if nothing else is said.
const DefaultTarget = "unix:///run/arca-network/control.sock"

// Limits that both ends have.
const (
	// MaxMessage holds a Sync of some 50,000 attachments.
	MaxMessage       = 32 << 20
	KeepalivePing    = time.Minute
	KeepaliveTimeout = 20 * time.Second
)

// serviceConfig has a call that finds the server away wait for it, within its
// deadline, and a read that loses it over its answer ask again: the next server
// says the same. The format is that of gRPC
// (https://github.com/grpc/grpc-proto/blob/master/grpc/service_config/service_config.proto).
const serviceConfig = `{"methodConfig": [
	{"name": [{}], "waitForReady": true},
	{
		"name": [
			{"service": "arca.network.NetworkControl", "method": "ListBridges"},
			{"service": "arca.network.NetworkControl", "method": "GetContainerNetworks"}
		],
		"waitForReady": true,
		"retryPolicy": {
			"maxAttempts": 5, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
			"retryableStatusCodes": ["UNAVAILABLE"]
		}
	}
]}`

// Client is a client of the control API. It connects when it is used, and again
// after the server was away.
type Client struct {
	controlpb.NetworkControlClient
	conn *grpc.ClientConn
}

// Dial returns a client of the server at a target, as transport.Dial takes it:
// unix:///PATH, vsock://CID:PORT, tcp://HOST:PORT (with a TLS configuration), or
// a socket of the VMM whose guest the server runs in. It does not connect yet, but a
// target that cannot be dialled is an error: calls would wait for it.
func Dial(target string, config *tls.Config, options ...grpc.DialOption) (*Client, error) {
	if err := transport.CheckDial(target, config); err != nil {
		return nil, err
	}
	options = append([]grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return transport.Dial(ctx, target, config)
		}),
		// TLS, where there is any, is the dialer's.
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("arca-network"),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: KeepalivePing, Timeout: KeepaliveTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage)),
		grpc.WithDefaultServiceConfig(serviceConfig),
	}, options...)
	conn, err := grpc.NewClient("passthrough:///arca-network", options...)
	if err != nil {
		return nil, err
	}
	return &Client{NetworkControlClient: controlpb.NewNetworkControlClient(conn), conn: conn}, nil
}

// Conn is the client's connection, for the services beside the control API.
func (c *Client) Conn() *grpc.ClientConn { return c.conn }

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }
