// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
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

// together accepts from several listeners. The first is the one on the loopback,
// whose address is that of all of them.
type together struct {
	all    []net.Listener
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	err    error
}

func listenTogether(first net.Listener, others []net.Listener) net.Listener {
	if len(others) == 0 {
		return first
	}
	t := &together{all: append([]net.Listener{first}, others...), conns: make(chan net.Conn), closed: make(chan struct{})}
	for _, l := range t.all {
		go t.accept(l)
	}
	return t
}

// longestPause is between two tries to accept while that fails for a time, as
// without a free file descriptor.
const longestPause = time.Second

// accept hands on connections until its listener ends, and all end with one: an
// address that nobody listens on any more is a failure, not a smaller service.
// What passes by itself is waited for, as net/http does with one listener.
func (t *together) accept(l net.Listener) {
	var pause time.Duration
	for {
		conn, err := l.Accept()
		var passing interface{ Temporary() bool }
		if errors.As(err, &passing) && passing.Temporary() {
			pause = min(max(2*pause, 5*time.Millisecond), longestPause)
			select {
			case <-time.After(pause):
				continue
			case <-t.closed:
				return
			}
		}
		if err != nil {
			_ = t.Close()
			return
		}
		pause = 0
		select {
		case t.conns <- conn:
		case <-t.closed:
			_ = conn.Close()
			return
		}
	}
}

func (t *together) Accept() (net.Conn, error) {
	select {
	case conn := <-t.conns:
		return conn, nil
	case <-t.closed:
		return nil, net.ErrClosed
	}
}

func (t *together) Addr() net.Addr { return t.all[0].Addr() }

func (t *together) Close() error {
	t.once.Do(func() {
		close(t.closed)
		for _, l := range t.all {
			t.err = errors.Join(t.err, l.Close())
		}
	})
	return t.err
}
