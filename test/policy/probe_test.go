// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vas-solutus/arca-network/pkg/policy/policytest"
)

// probe is one attempt to connect, and what came of it.
type probe struct {
	from, to policytest.Host
	is6      bool
	protocol string
	port     int

	fd      int
	tag     uint32 // SCTP
	outcome string
	why     error
}

func (p *probe) String() string {
	family := "IPv4"
	if p.is6 {
		family = "IPv6"
	}
	return fmt.Sprintf("%s → %s, %s %s %d", p.from.Name, p.to.Name, family, p.protocol, p.port)
}

// tags makes every SCTP probe another.
var tags uint32

// run makes all attempts at once and waits until each is decided; what is not
// within the time was dropped.
func run(spaces map[string]*space, seen *sctpSeen, probes []*probe, within time.Duration) error {
	const atOnce = 512
	for len(probes) > 0 {
		now := probes[:min(atOnce, len(probes))]
		probes = probes[len(now):]
		for _, p := range now {
			tags++
			p.outcome, p.why, p.tag = "", nil, tags
			if err := spaces[p.from.Name].do(p.open); err != nil {
				return fmt.Errorf("%v: %w", p, err)
			}
		}
		err := settle(seen, now, time.Now().Add(within))
		for _, p := range now {
			_ = unix.Close(p.fd)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// open opens a socket and sends the first packet. It runs in the source's
// namespace.
func (p *probe) open() error {
	destination, _ := p.to.Address(p.is6)
	source, _ := p.from.Address(p.is6)
	family, icmp := unix.AF_INET, unix.IPPROTO_ICMP
	if p.is6 {
		family, icmp = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	kind, protocol := unix.SOCK_STREAM, 0
	switch p.protocol {
	case "udp":
		kind = unix.SOCK_DGRAM
	case "icmp":
		kind, protocol = unix.SOCK_DGRAM, icmp
	case "sctp":
		kind, protocol = unix.SOCK_RAW, unix.IPPROTO_SCTP
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return err
	}
	p.fd = fd
	// ICMP errors are errors of the socket.
	if p.is6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
	} else {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1)
	}
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, address(source, 0)); err != nil {
		return err
	}
	port := p.port
	if p.protocol == "sctp" || p.protocol == "icmp" {
		port = 0
	}
	err = unix.Connect(fd, address(destination, port))
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		p.decide(err)
		return nil
	}
	switch p.protocol {
	case "udp":
		_, err = unix.Write(fd, []byte("probe"))
	case "icmp":
		_, err = unix.Write(fd, p.echoRequest())
	case "sctp":
		_, err = unix.Write(fd, p.init())
	default:
		return nil
	}
	if err != nil {
		p.decide(err)
	}
	return nil
}

func address(a netip.Addr, port int) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4(), Port: port}
	}
	return &unix.SockaddrInet6{Addr: a.As16(), Port: port}
}

// echoRequest has no id and no checksum: the kernel writes both.
func (p *probe) echoRequest() []byte {
	kind := byte(8)
	if p.is6 {
		kind = 128
	}
	return []byte{kind, 0, 0, 0, 0, 0, 0, 1, 'p', 'r', 'o', 'b', 'e'}
}

// sctpPort is the source port of an SCTP probe, by which an ABORT is known.
func (p *probe) sctpPort() uint16 { return uint16(20000 + p.tag%40000) }

// init is an SCTP INIT.
func (p *probe) init() []byte {
	b := make([]byte, 32)
	binary.BigEndian.PutUint16(b[0:], p.sctpPort())
	binary.BigEndian.PutUint16(b[2:], uint16(p.port))
	b[12] = sctpInit
	binary.BigEndian.PutUint16(b[14:], 20)
	binary.BigEndian.PutUint32(b[16:], p.tag)
	binary.BigEndian.PutUint32(b[20:], 65536)
	binary.BigEndian.PutUint16(b[24:], 1)
	binary.BigEndian.PutUint16(b[26:], 1)
	binary.BigEndian.PutUint32(b[28:], 1)
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// decide reads an outcome from an error: refused or unreachable is an answer.
func (p *probe) decide(err error) {
	switch {
	case err == nil:
		p.outcome = policytest.Passes
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES),
		errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.ENETUNREACH):
		p.outcome = policytest.Rejected
	default:
		p.outcome = "error"
	}
	p.why = err
}

// settle waits for the outcomes.
func settle(seen *sctpSeen, probes []*probe, limit time.Time) error {
	for {
		var waits []unix.PollFd
		var of []*probe
		sctp := false
		for _, p := range probes {
			switch {
			case p.outcome != "":
			case p.protocol == "sctp":
				seen.mu.Lock()
				if seen.init[p.tag] {
					p.outcome = policytest.Passes
				} else if seen.aborts[p.sctpPort()] {
					p.outcome = policytest.Rejected
				}
				seen.mu.Unlock()
				sctp = sctp || p.outcome == ""
			default:
				events := int16(unix.POLLIN)
				if p.protocol == "tcp" {
					events = unix.POLLOUT
				}
				waits, of = append(waits, unix.PollFd{Fd: int32(p.fd), Events: events}), append(of, p)
			}
		}
		left := time.Until(limit)
		if len(waits) == 0 && !sctp || left <= 0 {
			break
		}
		if sctp {
			left = min(left, 20*time.Millisecond) // another socket tells of those
		}
		if _, err := unix.Poll(waits, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		for i, w := range waits {
			if w.Revents != 0 {
				of[i].read()
			}
		}
	}
	for _, p := range probes {
		if p.outcome == "" {
			p.outcome = policytest.Dropped
		}
	}
	return nil
}

// read takes what poll has announced.
func (p *probe) read() {
	code, err := unix.GetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	if err == nil && p.protocol != "tcp" {
		_, err = unix.Read(p.fd, make([]byte, 64))
		if errors.Is(err, unix.EAGAIN) {
			return
		}
	}
	if err == nil && p.protocol == "tcp" {
		// A socket that is being refused can be ready a moment before its error
		// is there: only a peer means that it is connected.
		if _, err := unix.Getpeername(p.fd); err != nil {
			return
		}
	}
	p.decide(err)
}
