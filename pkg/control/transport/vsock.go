// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/go-logr/logr"
	"github.com/mdlayher/vsock"
)

// HostCID is the context id of a virtual machine's host.
const HostCID = vsock.Host

// filter lets in the host, and the context ids that were allowed.
func (o Options) filter(l net.Listener) net.Listener {
	return &cidListener{Listener: l, allowed: append([]uint32{HostCID}, o.AllowCIDs...), log: o.Log}
}

// cidListener closes connections from context ids that are not allowed. A guest
// cannot choose its own: the host's kernel says where a connection comes from.
type cidListener struct {
	net.Listener
	allowed []uint32
	log     logr.Logger
}

func (l *cidListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if err := l.check(conn.RemoteAddr()); err != nil {
			l.log.Info("Connection refused", "why", err.Error())
			_ = conn.Close()
			continue
		}
		return conn, nil
	}
}

func (l *cidListener) check(peer net.Addr) error {
	var a *vsock.Addr
	switch p := peer.(type) {
	case *vsock.Addr:
		a = p
	case nil:
		return errors.New("the peer has no address")
	default:
		return fmt.Errorf("the peer's address %s is not of vsock", peer)
	}
	if !slices.Contains(l.allowed, a.ContextID) {
		return fmt.Errorf("vsock context id %d: must be one of %v", a.ContextID, l.allowed)
	}
	return nil
}
