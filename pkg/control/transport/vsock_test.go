// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"net"
	"slices"
	"testing"

	"github.com/mdlayher/vsock"
)

// fakeListener accepts connections that say of themselves where they are from.
// vsock itself cannot be had here: the kernel that the tests run on has no
// loopback for it. Over real vsock it is tried in a virtual machine.
type fakeListener struct{ peers []net.Addr }

type fakeConn struct {
	net.Conn
	peer   net.Addr
	closed bool
}

func (c *fakeConn) RemoteAddr() net.Addr { return c.peer }
func (c *fakeConn) Close() error         { c.closed = true; return nil }

func (l *fakeListener) Accept() (net.Conn, error) {
	if len(l.peers) == 0 {
		return nil, net.ErrClosed
	}
	c := &fakeConn{peer: l.peers[0]}
	l.peers = l.peers[1:]
	return c, nil
}
func (l *fakeListener) Addr() net.Addr { return &vsock.Addr{} }
func (l *fakeListener) Close() error   { return nil }

func TestOnlyTheHost(t *testing.T) {
	peers := []net.Addr{
		&vsock.Addr{ContextID: 2}, &vsock.Addr{ContextID: 3}, &vsock.Addr{ContextID: 1}, &vsock.Addr{ContextID: 0},
		&vsock.Addr{ContextID: 7}, &vsock.Addr{ContextID: 1<<32 - 1}, &net.UnixAddr{Name: "x"}, nil,
	}
	for _, c := range []struct {
		allowed []uint32
		want    []uint32
	}{
		{nil, []uint32{2}},
		{[]uint32{7}, []uint32{2, 7}},
		{[]uint32{1, 3}, []uint32{2, 3, 1}},
	} {
		l := Options{AllowCIDs: c.allowed}.filter(&fakeListener{peers: peers})
		var got []uint32
		for {
			conn, err := l.Accept()
			if err != nil {
				break
			}
			got = append(got, conn.RemoteAddr().(*vsock.Addr).ContextID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("with %v: let in %v, want %v", c.allowed, got, c.want)
		}
	}
}
