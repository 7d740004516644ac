// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/binary"
	"errors"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Ports that every endpoint listens on.
var ports = []int{80, 443, 8042}

// sctpSeen are the SCTP packets that arrived: the kernel may have no SCTP, so
// raw sockets tell of INIT at the destination and ABORT at the source.
type sctpSeen struct {
	mu     sync.Mutex
	init   map[uint32]bool // by initiate tag
	aborts map[uint16]bool // by the port that it was sent to
}

// listen makes an endpoint accept TCP and echo UDP on all ports, and watch
// SCTP, until the test ends.
func listen(t *testing.T, s *space, seen *sctpSeen) {
	t.Helper()
	var fds []int
	err := s.do(func() error {
		for _, port := range ports {
			for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
				fd, err := unix.Socket(unix.AF_INET6, kind|unix.SOCK_CLOEXEC, 0) // for both families
				if err != nil {
					return err
				}
				fds = append(fds, fd)
				if err := unix.Bind(fd, &unix.SockaddrInet6{Port: port}); err != nil {
					return err
				}
				if kind == unix.SOCK_STREAM {
					if err := unix.Listen(fd, 4096); err != nil {
						return err
					}
					continue
				}
				go echo(fd)
			}
		}
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
			if err != nil {
				return err
			}
			fds = append(fds, fd)
			go seen.watch(fd, family)
		}
		return nil
	})
	t.Cleanup(func() {
		for _, fd := range fds {
			_ = unix.Shutdown(fd, unix.SHUT_RDWR)
			_ = unix.Close(fd)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func echo(fd int) {
	buf := make([]byte, 2048)
	for {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.EHOSTUNREACH) {
			continue
		}
		if err != nil || from == nil {
			return
		}
		_ = unix.Sendto(fd, buf[:n], 0, from)
	}
}

const (
	sctpInit  = 1
	sctpAbort = 6
)

func (s *sctpSeen) watch(fd, family int) {
	buf := make([]byte, 2048)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return
		}
		packet := buf[:n]
		if family == unix.AF_INET && n > 20 {
			packet = packet[int(packet[0]&15)*4:]
		}
		if len(packet) < 16 {
			continue
		}
		s.mu.Lock()
		switch packet[12] {
		case sctpInit:
			if len(packet) >= 20 {
				s.init[binary.BigEndian.Uint32(packet[16:])] = true
			}
		case sctpAbort:
			s.aborts[binary.BigEndian.Uint16(packet[2:])] = true
		}
		s.mu.Unlock()
	}
}
