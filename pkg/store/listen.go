// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"net"
	"strconv"
)

// listen opens the port for clients outside this process. For port 0 the
// remembered port is tried first; if another program has it, any other is
// taken and remembered.
func listen(address string, r *record) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", address, err)
	}
	if port != "0" && port != "" {
		return net.Listen("tcp", address)
	}
	if r.Port != 0 {
		if l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(r.Port))); err == nil {
			return l, nil
		}
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", address, err)
	}
	r.Port = l.Addr().(*net.TCPAddr).Port
	return l, nil
}
