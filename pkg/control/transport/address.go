// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// address is an address that was read: what is said in one form only.
type address struct {
	scheme string
	path   string // unix, vfkit, krunkit, firecracker, cloud-hypervisor
	host   string // tcp
	port   uint32 // tcp, vsock, firecracker, cloud-hypervisor
	cid    uint32 // vsock
	fd     int
}

// maxPath is what fits into a socket's address with its zero byte.
const maxPath = 107

// parse reads an address and tells what is wrong with it.
func parse(s string) (address, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return address{}, fmt.Errorf("address %q: must be unix:///PATH, vsock://CID:PORT, tcp://HOST:PORT or fd://N", s)
	}
	a := address{scheme: scheme}
	var err error
	switch scheme {
	case "unix", "vfkit", "krunkit":
		a.path, err = socketPath(rest)
	case "firecracker", "cloud-hypervisor":
		i := strings.LastIndexByte(rest, ':')
		if i < 0 {
			return a, fmt.Errorf("address %q: must be %s:///PATH:PORT", s, scheme)
		}
		if a.path, err = socketPath(rest[:i]); err == nil {
			a.port, err = vsockPort(rest[i+1:])
		}
	case "vsock":
		a.cid, a.port, err = vsockAddress(rest)
	case "tcp":
		a.host, a.port, err = tcpAddress(rest)
	case "fd":
		a.fd, err = strconv.Atoi(rest)
		if err != nil || a.fd < 3 {
			err = fmt.Errorf("%q must be the number of an open file descriptor, 3 or more", rest)
		}
	default:
		err = fmt.Errorf("scheme %q: must be unix, vsock, tcp or fd, or to dial firecracker, cloud-hypervisor, vfkit or krunkit", scheme)
	}
	if err != nil {
		return a, fmt.Errorf("address %q: %w", s, err)
	}
	return a, nil
}

func socketPath(s string) (string, error) {
	p, err := url.PathUnescape(s)
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(p) || strings.ContainsRune(p, 0) {
		return "", fmt.Errorf("path %q must be absolute: three slashes", p)
	}
	if len(p) > maxPath {
		return "", fmt.Errorf("path %q has %d bytes; a socket's path has at most %d", p, len(p), maxPath)
	}
	return filepath.Clean(p), nil
}

// vsockAddress reads CID:PORT; no CID is any of this machine's own.
func vsockAddress(s string) (cid, port uint32, err error) {
	c, p, ok := strings.Cut(s, ":")
	if !ok {
		return 0, 0, fmt.Errorf("%q must be CID:PORT or :PORT", s)
	}
	cid = unix.VMADDR_CID_ANY
	if c != "" {
		n, err := strconv.ParseUint(c, 10, 32)
		if err != nil || n == unix.VMADDR_CID_ANY {
			return 0, 0, fmt.Errorf("CID %q: must be a number from 0 to %d", c, uint32(unix.VMADDR_CID_ANY-1))
		}
		cid = uint32(n)
	}
	port, err = vsockPort(p)
	return cid, port, err
}

// vsockPort reads a port. The highest number means any port to the kernel: a
// server would listen where nobody looks for it.
func vsockPort(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 || n == unix.VMADDR_PORT_ANY {
		return 0, fmt.Errorf("port %q: must be a number from 1 to %d", s, uint32(unix.VMADDR_PORT_ANY-1))
	}
	return uint32(n), nil
}

func tcpAddress(s string) (host string, port uint32, err error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, err
	}
	if host == "" {
		return "", 0, fmt.Errorf("%q names no host; 0.0.0.0 is all of them", s)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %q: must be a number from 0 to 65535", p)
	}
	return host, uint32(n), nil
}

func (a address) hostPort() string {
	return net.JoinHostPort(a.host, strconv.FormatUint(uint64(a.port), 10))
}
