// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	streamPort  = 5001
	blockSize   = 1024
	streamEvery = 10 * time.Millisecond
	// survival is how long a connection tries to get through an outage.
	survival = 10 * time.Minute
	// tcpRTOMax is TCP_RTO_MAX_MS of linux/tcp.h, since 6.15: the longest pause
	// between retransmissions, two minutes by default.
	tcpRTOMax = 44
)

// stream is one TCP connection that lasts through a fault. Its blocks are
// numbered, so that the receiver knows that none is missing or torn.
type stream struct {
	listener       net.Listener
	sender, reader net.Conn
	stop           chan struct{}
	wg             sync.WaitGroup

	sent, received atomic.Uint64
	failed         atomic.Pointer[error]
	moved          chan struct{} // a block has come; not more than one is kept
}

func startStream(from, to, address string) (*stream, error) {
	s := &stream{stop: make(chan struct{}), moved: make(chan struct{}, 1)}
	target := net.JoinHostPort(address, fmt.Sprint(streamPort))
	err := inNetns(to, func() (err error) {
		s.listener, err = net.Listen("tcp4", target)
		return err
	})
	if err != nil {
		return nil, err
	}
	accepted := make(chan error, 1)
	go func() {
		var err error
		s.reader, err = s.listener.Accept()
		accepted <- err
	}()
	dialer := net.Dialer{Timeout: patience, KeepAlive: -1, Control: patient}
	err = inNetns(from, func() (err error) {
		s.sender, err = dialer.DialContext(context.Background(), "tcp4", target)
		return err
	})
	if err != nil {
		_ = s.listener.Close()
		return nil, err
	}
	if err := <-accepted; err != nil {
		return nil, err
	}
	s.wg.Go(s.send)
	s.wg.Go(s.receive)
	return s, nil
}

// patient has a connection try on through an outage, often where the kernel can.
func patient(_, _ string, c syscall.RawConn) error {
	var err error
	control := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(survival.Milliseconds()))
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, tcpRTOMax, 1000)
	})
	return errors.Join(control, err)
}

func (s *stream) fail(err error) {
	s.failed.CompareAndSwap(nil, &err)
}

func (s *stream) send() {
	block := make([]byte, blockSize)
	tick := time.NewTicker(streamEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		fill(block, s.sent.Load())
		if _, err := s.sender.Write(block); err != nil {
			select {
			case <-s.stop:
			default:
				s.fail(fmt.Errorf("sending: %w", err))
			}
			return
		}
		s.sent.Add(1)
	}
}

func (s *stream) receive() {
	block, want := make([]byte, blockSize), make([]byte, blockSize)
	for {
		if _, err := io.ReadFull(s.reader, block); err != nil {
			select {
			case <-s.stop:
			default:
				s.fail(fmt.Errorf("receiving: %w", err))
			}
			return
		}
		if fill(want, s.received.Load()); !bytes.Equal(block, want) {
			s.fail(fmt.Errorf("block %d is not what was sent", s.received.Load()))
			return
		}
		s.received.Add(1)
		select {
		case s.moved <- struct{}{}:
		default:
		}
	}
}

// fill writes a block of that number.
func fill(block []byte, number uint64) {
	for i := 0; i < len(block); i += 8 {
		binary.BigEndian.PutUint64(block[i:], number+uint64(i)<<32)
	}
}

// goesOn waits until what is sent from now on arrives.
func (s *stream) goesOn(ctx context.Context) error {
	target := s.sent.Load() + 10
	for s.received.Load() < target {
		if err := s.failed.Load(); err != nil {
			return fmt.Errorf("the TCP stream broke: %w", *err)
		}
		select {
		case <-s.moved:
		case <-time.After(time.Second): // a failure moves nothing
		case <-ctx.Done():
			return fmt.Errorf("the TCP stream does not go on: %d blocks sent, %d received", s.sent.Load(), s.received.Load())
		}
	}
	return nil
}

// finish ends the connection and returns how many blocks came through.
func (s *stream) finish() uint64 {
	close(s.stop)
	_ = s.sender.Close()
	_ = s.reader.Close()
	_ = s.listener.Close()
	s.wg.Wait()
	return s.received.Load()
}
