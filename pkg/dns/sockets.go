// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of connections: all, those of one client, and how long one may be idle.
const (
	maxConnections = 512
	maxPerClient   = 16
	idle           = 10 * time.Second
)

// writeTimeout bounds an answer over TCP.
const writeTimeout = 5 * time.Second

// sockets are those of one place.
type sockets struct {
	handler *handler
	closers []io.Closer
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	open  map[net.Conn]netip.Addr
	count map[netip.Addr]int
}

// listen opens a UDP socket for every two processors, among which the kernel
// spreads clients, and one for TCP, at each address. The other processors have to
// carry what is asked and answered, which takes more than to answer it.
func (s *Server) listen(ctx context.Context, p place) (_ *sockets, err error) {
	ctx, cancel := context.WithCancel(ctx)
	out := &sockets{handler: s.handler, cancel: cancel, open: map[net.Conn]netip.Addr{}, count: map[netip.Addr]int{}}
	defer func() {
		if err != nil {
			out.close()
		}
	}()
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return control(c, s.options.Interface) }}
	for _, a := range p.addresses {
		at := netip.AddrPortFrom(a, Port).String()
		for range max(1, runtime.GOMAXPROCS(0)/2) {
			c, err := config.ListenPacket(ctx, "udp", at)
			if err != nil {
				return nil, fmt.Errorf("listening: %w", err)
			}
			out.closers = append(out.closers, c)
			raw, err := c.(*net.UDPConn).SyscallConn()
			if err != nil {
				return nil, fmt.Errorf("listening: %w", err)
			}
			out.running.Go(func() { out.serveUDP(ctx, newDatagrams(raw)) })
		}
		l, err := config.Listen(ctx, "tcp", at)
		if err != nil {
			return nil, fmt.Errorf("listening: %w", err)
		}
		out.closers = append(out.closers, l)
		out.running.Go(func() { out.serveTCP(ctx, l) })
	}
	return out, nil
}

// control makes a socket hear only what comes in by the interface.
func control(c syscall.RawConn, device string) (err error) {
	e := c.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err == nil {
			err = unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, device)
		}
	})
	return errors.Join(e, err)
}

// close ends all that the sockets do. It may be called of none.
func (s *sockets) close() {
	if s == nil {
		return
	}
	s.cancel()
	for _, c := range s.closers {
		_ = c.Close()
	}
	s.mu.Lock()
	for c := range s.open {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

// turns counts answers, for their rotation.
var turns atomic.Uint32

func (s *sockets) serveUDP(ctx context.Context, d *datagrams) {
	var q query
	in, out := make([]byte, 4096), make([]byte, 0, 4096)
	for {
		msg, err := d.read(in)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			continue // about one packet, such as that its sender is not reachable
		}
		answer, p := s.handler.handle(&q, out[:0], msg, d.peer.addr(), false, turns.Add(1))
		if p != nil {
			later := d.later()
			s.running.Go(func() { _ = later.answer(s.handler.finish(ctx, make([]byte, 0, 512), p)) })
		}
		if answer != nil {
			_ = d.answer(answer)
		}
	}
}

func (s *sockets) serveTCP(ctx context.Context, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of file descriptors, say: accepting at full speed would not help.
			select {
			case <-ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
		if !s.admit(ctx, c, from) {
			_ = c.Close()
			continue
		}
		s.running.Go(func() {
			defer s.dismiss(c, from)
			s.serveConnection(ctx, c, from)
		})
	}
}

func (s *sockets) admit(ctx context.Context, c net.Conn, from netip.Addr) bool {
	if e, _ := s.handler.records.Snapshot().who(from); e == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil || len(s.open) >= maxConnections || s.count[from] >= maxPerClient {
		return false
	}
	s.open[c] = from
	s.count[from]++
	return true
}

func (s *sockets) dismiss(c net.Conn, from netip.Addr) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	if s.count[from]--; s.count[from] == 0 {
		delete(s.count, from)
	}
}

// serveConnection answers one query after the other.
func (s *sockets) serveConnection(ctx context.Context, c net.Conn, from netip.Addr) {
	var q query
	var length [2]byte
	in := make([]byte, maxTCP)
	for {
		_ = c.SetReadDeadline(time.Now().Add(idle))
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return
		}
		msg := in[:binary.BigEndian.Uint16(length[:])]
		if _, err := io.ReadFull(c, msg); err != nil {
			return
		}
		answer, p := s.handler.handle(&q, nil, msg, from, true, turns.Add(1))
		if p != nil {
			answer = s.handler.finish(ctx, nil, p)
		}
		if answer == nil {
			return
		}
		_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(answer)), uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}
