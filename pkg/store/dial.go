// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"net"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// dialAddress gives a dialer the form that gRPC wants.
func dialAddress(dial utilnet.DialFunc) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) }
}
