// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// listen opens the listener for other processes. A chosen port is kept in the
// state folder, so that a kubeconfig stays valid over restarts.
func listen(dir, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", address, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("address %q: must be on the loopback, for example 127.0.0.1:0", address)
	}
	if port != "0" {
		return net.Listen("tcp", address)
	}
	file := filepath.Join(dir, "port")
	if last, err := os.ReadFile(file); err == nil {
		if l, err := net.Listen("tcp", net.JoinHostPort(host, strings.TrimSpace(string(last)))); err == nil {
			return l, nil
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	_, port, _ = net.SplitHostPort(l.Addr().String())
	if err := os.WriteFile(file, []byte(port+"\n"), 0o600); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}
