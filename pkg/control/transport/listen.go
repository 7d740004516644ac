// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/go-logr/logr"
	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"
)

// Options says who may connect.
type Options struct {
	// TLS is the server's side of TCP connections. It must ask for a client
	// certificate: nothing else tells who connects over TCP.
	TLS *tls.Config
	// Inner tells that the caller speaks TLS with client certificates on all
	// connections by itself. TCP is then accepted without TLS.
	Inner bool
	// AllowCIDs are the vsock context ids that may connect beside the host's, 2.
	AllowCIDs []uint32
	// Log is told of connections that are refused.
	Log logr.Logger
}

// Listen listens on unix:///PATH, vsock://[CID]:PORT, tcp://HOST:PORT or fd://N.
//
// A unix socket has mode 0660. One that is there already is replaced if nobody
// answers on it, and is an error otherwise; it is removed when the listener is
// closed.
func Listen(ctx context.Context, where string, o Options) (net.Listener, error) {
	a, err := toListen(where)
	if err != nil {
		return nil, err
	}
	var l net.Listener
	switch a.scheme {
	case "unix":
		l, err = listenUnix(a.path)
	case "vsock":
		if l, err = vsock.ListenContextID(a.cid, a.port, nil); err == nil {
			l = o.filter(l)
		}
	case "tcp":
		if err = o.checkTLS(); err == nil {
			if l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", a.hostPort()); err == nil {
				l = o.wrap(l)
			}
		}
	case "fd":
		l, err = o.inherited(a.fd)
	default:
		err = fmt.Errorf("scheme %q is not listened on", a.scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", where, err)
	}
	return l, nil
}

func (o Options) checkTLS() error {
	switch {
	case o.Inner:
		return nil
	case o.TLS == nil:
		return errors.New("TCP needs a certificate, its key and the authority of the clients' certificates")
	case o.TLS.ClientAuth != tls.RequireAndVerifyClientCert || o.TLS.MinVersion < tls.VersionTLS13:
		return errors.New("TCP needs TLS 1.3 with client certificates")
	}
	return nil
}

func (o Options) wrap(l net.Listener) net.Listener {
	if o.Inner {
		return l
	}
	return tls.NewListener(l, o.TLS)
}

// inherited takes over a socket that listens already, and is as strict with it
// as with one of its kind of our own.
func (o Options) inherited(fd int) (net.Listener, error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return nil, fmt.Errorf("file descriptor %d is no socket: %w", fd, err)
	}
	// What does not listen is somebody else's: it is left open.
	if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens == 0 {
		return nil, errors.Join(fmt.Errorf("file descriptor %d must be a socket that listens", fd), err)
	}
	f := os.NewFile(uintptr(fd), fmt.Sprintf("fd://%d", fd))
	defer f.Close() // the listener has a copy
	switch name.(type) {
	case *unix.SockaddrUnix:
		return net.FileListener(f)
	case *unix.SockaddrVM:
		l, err := vsock.FileListener(f)
		if err != nil {
			return nil, err
		}
		return o.filter(l), nil
	case *unix.SockaddrInet4, *unix.SockaddrInet6:
		if err := o.checkTLS(); err != nil {
			return nil, err
		}
		l, err := net.FileListener(f)
		if err != nil {
			return nil, err
		}
		return o.wrap(l), nil
	}
	return nil, fmt.Errorf("file descriptor %d is a socket of a family that is not supported", fd)
}
