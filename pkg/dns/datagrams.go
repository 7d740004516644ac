// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// datagrams reads and writes a UDP socket, for one goroutine, mostly without
// telling Go's scheduler of each call. None of the calls waits, so it need not
// know; and in a process that is idle otherwise, telling it wakes the runtime's
// monitor thread. That one then sleeps and wakes every 20 µs, and takes the
// processor from the datapath, which is to carry the answer.
type datagrams struct {
	conn syscall.RawConn
	busy int // messages read since it waited for one, or told of a call

	// What receive and send work on. They are made once, not for each message.
	message       []byte
	peer          peer
	errno         syscall.Errno
	receive, send func(fd uintptr) (done bool)
}

// maxBusy is after how many messages without a wait the scheduler is told of a
// call: it needs its monitor to run something else than who never waits.
const maxBusy = 32

// peer is the sender of a message, as the kernel writes it.
type peer struct {
	socket unix.RawSockaddrInet6 // of IPv4: begins with a RawSockaddrInet4
	length uint32
}

func (p *peer) addr() netip.Addr {
	switch p.socket.Family {
	case unix.AF_INET:
		return netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(&p.socket)).Addr)
	case unix.AF_INET6:
		return netip.AddrFrom16(p.socket.Addr).Unmap()
	}
	return netip.Addr{}
}

func newDatagrams(conn syscall.RawConn) *datagrams {
	d := &datagrams{conn: conn}
	d.receive = func(fd uintptr) bool {
		d.peer.length = unix.SizeofSockaddrInet6
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(d.message))), uintptr(len(d.message)),
			unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&d.peer.socket)), uintptr(unsafe.Pointer(&d.peer.length)))
		if d.errno = errno; errno == 0 {
			d.message = d.message[:n]
		}
		if errno == unix.EAGAIN {
			d.busy = 0
		}
		return errno != unix.EAGAIN
	}
	d.send = func(fd uintptr) bool {
		_, _, d.errno = syscall.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(d.message))), uintptr(len(d.message)),
			unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&d.peer.socket)), uintptr(d.peer.length))
		return d.errno != unix.EAGAIN
	}
	return d
}

// read waits for a message, reads it into buffer, and keeps who has sent it.
func (d *datagrams) read(buffer []byte) ([]byte, error) {
	if d.busy++; d.busy == maxBusy {
		d.busy = 0
		_, _, _ = syscall.Syscall(unix.SYS_GETPPID, 0, 0, 0) // any will do
	}
	d.message = buffer
	if err := d.conn.Read(d.receive); err != nil {
		return nil, err
	}
	return d.result()
}

// answer sends a message to who has sent the last one.
func (d *datagrams) answer(message []byte) error {
	d.message = message
	if err := d.conn.Write(d.send); err != nil {
		return err
	}
	_, err := d.result()
	return err
}

// later is for another goroutine, to answer the sender of the last message.
func (d *datagrams) later() *datagrams {
	l := newDatagrams(d.conn)
	l.peer = d.peer
	return l
}

func (d *datagrams) result() ([]byte, error) {
	if d.errno != 0 {
		return nil, d.errno
	}
	return d.message, nil
}
