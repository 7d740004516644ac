// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/mdlayher/vsock"
)

// dialTimeout bounds a Dial whose context has no deadline.
const dialTimeout = 10 * time.Second

// Dial connects to unix:///PATH, vsock://CID:PORT or tcp://HOST:PORT, to a
// guest's vsock through a socket of its VMM (firecracker:///PATH:PORT and
// cloud-hypervisor:///PATH:PORT; vfkit:///PATH and krunkit:///PATH, where the VMM has been
// told the port). TCP needs a TLS configuration.
func Dial(ctx context.Context, target string, config *tls.Config) (net.Conn, error) {
	a, err := toDial(target, config)
	if err != nil {
		return nil, err
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, dialTimeout)
		defer cancel()
	}
	conn, err := a.dial(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", target, err)
	}
	return conn, nil
}

func (a address) dial(ctx context.Context, config *tls.Config) (net.Conn, error) {
	var d net.Dialer
	switch a.scheme {
	case "unix", "vfkit", "krunkit":
		return d.DialContext(ctx, "unix", a.path)
	case "firecracker", "cloud-hypervisor":
		conn, err := d.DialContext(ctx, "unix", a.path)
		if err != nil {
			return nil, err
		}
		if err := connect(ctx, conn, a.port); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return conn, nil
	case "vsock":
		return dialVsock(ctx, a.cid, a.port)
	case "tcp":
		return (&tls.Dialer{NetDialer: &d, Config: config}).DialContext(ctx, "tcp", a.hostPort())
	}
	return nil, fmt.Errorf("scheme %q is not dialled", a.scheme)
}

// dialVsock gives up when ctx is done; the library cannot.
func dialVsock(ctx context.Context, cid, port uint32) (net.Conn, error) {
	type outcome struct {
		conn *vsock.Conn
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		conn, err := vsock.Dial(cid, port, nil)
		done <- outcome{conn, err}
	}()
	select {
	case o := <-done:
		if o.err != nil {
			return nil, o.err
		}
		return o.conn, nil
	case <-ctx.Done():
		go func() {
			if o := <-done; o.err == nil {
				_ = o.conn.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// connect asks a VMM for a port of its guest. The answer is read byte by byte:
// what follows it belongs to whoever uses the connection.
func connect(ctx context.Context, conn net.Conn, port uint32) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := fmt.Fprintf(conn, "CONNECT %d\n", port); err != nil {
		return err
	}
	const most = 64
	var line strings.Builder
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(conn, b); err != nil {
			return fmt.Errorf("the VMM did not answer CONNECT %d (does the guest listen on it?): %w", port, err)
		}
		if b[0] == '\n' {
			break
		}
		if line.Len() == most {
			return fmt.Errorf("the VMM answered %q and more to CONNECT %d", line.String(), port)
		}
		line.WriteByte(b[0])
	}
	// The number is the VMM's own port of the connection; nobody needs it.
	own, ok := strings.CutPrefix(line.String(), "OK ")
	if _, err := strconv.ParseUint(own, 10, 32); !ok || err != nil {
		return fmt.Errorf("the VMM answered %q to CONNECT %d", line.String(), port)
	}
	if !stop() {
		return ctx.Err()
	}
	return conn.SetDeadline(time.Time{})
}
