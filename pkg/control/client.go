// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"crypto/tls"

	"google.golang.org/grpc"

	"github.com/vas-solutus/arca-network/pkg/control/client"
)

// Client is a client of the control API.
type Client = client.Client

// Dial returns a client of the server at a target, as client.Dial does. What
// needs nothing else of this package calls that.
func Dial(target string, config *tls.Config, options ...grpc.DialOption) (*Client, error) {
	return client.Dial(target, config, options...)
}
