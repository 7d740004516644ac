// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bufio"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// end is one end of a stream, and what was read ahead from it.
type end struct {
	net.Conn
	ahead *bufio.Reader
}

// join copies between two ends until both have ended. When one side says that
// it sends no more, the other is told so and is heard on; when one side is gone
// altogether, the other is closed.
func join(a, b end) {
	done := make(chan struct{}, 2)
	go func() { pour(a, b); done <- struct{}{} }()
	go func() { pour(b, a); done <- struct{}{} }()
	<-done
	<-done
}

// pour copies what comes from one end into the other, and ends it as it ends.
func pour(to, from end) {
	if err := copyAll(to, from); err != nil {
		// from broke off or nobody reads at to: neither direction is of use any more.
		_ = to.Close()
		_ = from.Close()
		return
	}
	half, ok := to.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		_ = to.Close()
		return
	}
	// A client that went and one that has sent all its input look the same to a
	// reader. An attached container that says nothing would never be let go of.
	if hungUp(from.Conn) {
		_ = to.Close()
	}
}

func copyAll(to, from end) error {
	ahead, err := from.ahead.Peek(from.ahead.Buffered())
	if err != nil {
		return err
	}
	if _, err := to.Write(ahead); err != nil {
		return err
	}
	_, err = io.Copy(to.Conn, from.Conn)
	return err
}

// hungUp waits until the other side of a connection has closed both
// directions. It is false where this side was closed before, or cannot know.
func hungUp(conn net.Conn) bool {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	// Read calls again at each event of the connection.
	err = raw.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd)}}
		_, err := unix.Poll(poll, 0)
		gone = err == nil && poll[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
		return gone || (err != nil && err != unix.EINTR)
	})
	return err == nil && gone
}
