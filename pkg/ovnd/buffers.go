// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// portBuffer is how much may wait for ovs-vswitchd at a port, before the kernel
// doubles it for its own overhead. The userspace datapath reads a veth by a packet
// socket and leaves it with the system's default, in which three segments of 64 KiB
// have room: what TCP sends at once is mostly lost there. The kernel has no other
// way to set it but for all sockets of the machine.
const portBuffer = 1 << 20

// Bounds of how often ports are looked at: when told, and when not told, as after a
// restart of ovs-vswitchd.
const (
	buffersAtMost  = 200 * time.Millisecond
	buffersAtLeast = 10 * time.Second
)

// buffers keeps in mind which packet sockets have been dealt with.
type buffers struct {
	pidfile string
	// looks counts, by inode, how often a socket has been looked for. One of
	// another program is never found; one that is being made is, the next time.
	looks map[uint64]int
}

// enoughLooks is when a socket is no longer looked for.
const enoughLooks = 2

// PortsChanged tells that ovs-vswitchd has other ports now. It does not wait.
func (s *Stack) PortsChanged() {
	select {
	case s.ports <- struct{}{}:
	default:
	}
}

// keepBuffers gives ports of ovs-vswitchd their buffers until ctx is done.
func (s *Stack) keepBuffers(ctx context.Context) {
	b := buffers{pidfile: s.options.path("ovs-vswitchd.pid"), looks: map[uint64]int{}}
	tick := time.NewTicker(buffersAtLeast)
	defer tick.Stop()
	said := ""
	for pause(ctx, buffersAtMost) {
		err := b.widen()
		if now := fmt.Sprint(err); err != nil && now != said {
			said = now
			s.options.Log.Error(err, "Ports keep small receive buffers: TCP is slower")
		}
		select {
		case <-ctx.Done():
		case <-s.ports:
		case <-tick.C:
		}
	}
}

// widen sets the buffer of each packet socket of ovs-vswitchd that is new.
func (b *buffers) widen() error {
	p, err := openProcess(b.pidfile)
	if err != nil || p == nil {
		return err // its next one has new sockets
	}
	defer p.close()
	sockets, err := packetSockets(p.pid)
	if err != nil {
		return err
	}
	looks, some := map[uint64]int{}, false
	for _, inode := range sockets {
		looks[inode] = min(b.looks[inode]+1, enoughLooks+1)
		some = some || looks[inode] <= enoughLooks
	}
	b.looks = looks
	if !some {
		return nil
	}
	dir := fmt.Sprintf("/proc/%d/fd", p.pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		text, ok := strings.CutPrefix(target, "socket:[")
		if !ok {
			continue
		}
		inode, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64)
		if err != nil || looks[inode] == 0 || looks[inode] > enoughLooks {
			continue
		}
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if err := p.widen(fd); err != nil {
			errs = append(errs, err)
			continue
		}
		looks[inode] = enoughLooks
	}
	return errors.Join(errs...)
}

// widen sets the buffer of a descriptor of the process, if it is a packet socket.
func (p *process) widen(fd int) error {
	socket, err := unix.PidfdGetfd(p.fd, fd, 0)
	if errors.Is(err, unix.EBADF) || errors.Is(err, unix.ESRCH) {
		return nil // closed meanwhile
	}
	if err != nil {
		return fmt.Errorf("taking a socket of process %d: %w", p.pid, err)
	}
	defer unix.Close(socket)
	// The descriptor may be another than that which was looked at.
	if domain, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil || domain != unix.AF_PACKET {
		return nil
	}
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, portBuffer); err != nil {
		return fmt.Errorf("setting the receive buffer of a socket of process %d: %w", p.pid, err)
	}
	return nil
}

// packetSockets lists the inodes of all packet sockets in the network namespace of
// a process.
func packetSockets(pid int) (inodes []uint64, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/packet", pid))
	if err != nil {
		return nil, err
	}
	for i, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		fields := strings.Fields(line)
		if i == 0 || len(fields) == 0 {
			continue // the names of the columns, of which the inode is the last
		}
		inode, err := strconv.ParseUint(fields[len(fields)-1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("/proc/%d/net/packet: %w", pid, err)
		}
		inodes = append(inodes, inode)
	}
	return inodes, nil
}
