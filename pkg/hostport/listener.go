// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package hostport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mdlayher/netlink"
	nl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// timeout bounds one question to the kernel.
const timeout = 5 * time.Second

// Host answers for the host.
type Host struct {
	// Except are addresses of the host that are none for others: nobody
	// publishes at them, and who listens there is in nobody's way.
	Except []netip.Addr
}

// socket is a listening TCP socket or an unconnected UDP socket.
type socket struct {
	addr  netip.Addr
	port  uint16
	only6 bool // of an IPv6 socket: it takes no IPv4
	inode uint32
}

// states of sockets that receive from anybody.
const (
	tcpListen = 1 << 10
	tcpClose  = 1 << 7 // what UDP sockets are in that are not connected
)

// Listener finds a process that listens on a port from first to last, at an
// address or, where that is unspecified, at any of its family. who is empty
// where there is none, and of several the lowest port is told.
func (h Host) Listener(protocol uint8, at netip.Addr, first, last uint16) (who string, port uint16, err error) {
	states := uint32(tcpListen)
	if protocol == unix.IPPROTO_UDP {
		states = tcpClose
	}
	var inode uint32
	families := []uint8{unix.AF_INET, unix.AF_INET6}
	if at.Is6() {
		families = families[1:]
	}
	for _, family := range families {
		sockets, err := list(family, protocol, states)
		if err != nil {
			return "", 0, err
		}
		for _, s := range sockets {
			if s.port >= first && s.port <= last && s.takes(at) && !h.excepted(s.addr) && (inode == 0 || s.port < port) {
				port, inode = s.port, s.inode
			}
		}
	}
	if inode == 0 {
		return "", 0, nil
	}
	return process(inode), port, nil
}

// takes tells whether a packet to an address could be for the socket.
func (s socket) takes(at netip.Addr) bool {
	if s.addr == netip.IPv6Unspecified() && at.Is4() {
		return !s.only6
	}
	addr := s.addr.Unmap()
	return addr.Is4() == at.Is4() && (addr == at || addr.IsUnspecified() || at.IsUnspecified())
}

func (h Host) excepted(a netip.Addr) bool {
	for _, e := range h.Except {
		if e == a {
			return true
		}
	}
	return false
}

// HasAddress tells whether an address is the host's.
func (h Host) HasAddress(a netip.Addr) (bool, error) {
	if a.IsLoopback() {
		return true, nil
	}
	if h.excepted(a) {
		return false, nil
	}
	addrs, err := nl.AddrList(nil, nl.FAMILY_ALL)
	if err != nil && !errors.Is(err, nl.ErrDumpInterrupted) {
		return false, fmt.Errorf("listing addresses: %w", err)
	}
	for _, x := range addrs {
		if have, ok := netip.AddrFromSlice(x.IP); ok && have.Unmap() == a {
			return true, nil
		}
	}
	return false, nil
}

// list asks sock_diag for sockets.
func list(family, protocol uint8, states uint32) ([]socket, error) {
	c, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return nil, fmt.Errorf("opening sock_diag: %w", err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	const byFamily, requestLen = 20, 56 // SOCK_DIAG_BY_FAMILY, struct inet_diag_req_v2
	req := make([]byte, requestLen)
	req[0], req[1] = family, protocol
	binary.NativeEndian.PutUint32(req[4:], states)
	msgs, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: byFamily, Flags: netlink.Request | netlink.Dump}, Data: req})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, nil // the kernel has no sockets of this protocol
	}
	if err != nil {
		return nil, fmt.Errorf("listing sockets: %w", err)
	}
	var out []socket
	for _, m := range msgs {
		if s, ok := parse(m.Data); ok {
			out = append(out, s)
		}
	}
	return out, nil
}

// parse reads a struct inet_diag_msg.
func parse(b []byte) (socket, bool) {
	const length, skv6only = 72, 11
	if len(b) < length {
		return socket{}, false
	}
	s := socket{port: binary.BigEndian.Uint16(b[4:]), inode: binary.NativeEndian.Uint32(b[68:])}
	size := 4
	if b[0] == unix.AF_INET6 {
		size = 16
	}
	s.addr, _ = netip.AddrFromSlice(b[8 : 8+size])
	ad, err := netlink.NewAttributeDecoder(b[length:])
	if err != nil {
		return s, true
	}
	for ad.Next() {
		if ad.Type() == skv6only {
			s.only6 = ad.Uint8() == 1
		}
	}
	return s, true
}

// process names who has a socket.
func process(inode uint32) string {
	want := fmt.Sprintf("socket:[%d]", inode)
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == want {
			pid := strings.Split(fd, "/")[2]
			name, err := os.ReadFile("/proc/" + pid + "/comm")
			if err == nil {
				return fmt.Sprintf("process %s (pid %s)", strings.TrimSpace(string(name)), pid)
			}
		}
	}
	return "a process that this one cannot see"
}
