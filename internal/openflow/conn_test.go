// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package openflow

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// TestKeep: what a switch may answer that ends a connection, and how that is told.
// Real switches are in pkg/ovnd's tests.
func TestKeep(t *testing.T) {
	hello := message{version: 6, kind: typeHello}.encode() // of a newer one
	for name, c := range map[string]struct {
		says []byte
		want string
	}{
		"an older switch":      {message{version: 1, kind: typeHello}.encode(), "version 0x1"},
		"no hello":             {message{version: version, kind: typeBarrierReply}.encode(), "not with a hello"},
		"hello refused":        {message{version: version, kind: typeError, body: []byte{0, 0, 0, 1}}.encode(), "type 0, code 1"},
		"nothing":              {nil, "EOF"},
		"too short a message":  {[]byte{version, typeHello, 0, 4, 0, 0, 0, 0}, "4 bytes"},
		"half a header":        {hello[:5], "ends after 5 bytes"},
		"half a body":          {[]byte{version, typeHello, 0, 16, 0, 0, 0, 0, 0, 1}, "ends after 8 bytes"},
		"the flow refused":     {append(hello, message{version: version, kind: typeError, body: []byte{0, 4, 0, 9, 1, 2}}.encode()...), "type 4, code 9"},
		"half an error":        {append(hello, message{version: version, kind: typeError, body: []byte{0}}.encode()...), "error message has 1"},
		"half a removal":       {append(hello, message{version: version, kind: typeFlowRemoved, body: []byte{0}}.encode()...), "removed flow has 1"},
		"what is of no matter": {append(hello, message{version: version, kind: 77, body: make([]byte, 9)}.encode()...), "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			socket := switchThat(t, func(conn net.Conn) { _, _ = conn.Write(c.says) })
			err := Keep(t.Context(), socket, Flow{Match: ICMPv6(134)}, func() { t.Error("the flow is said to be there") }, func() {})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// TestKeepEnds: to be told to end is no failure, and removed flows are put back
// until then.
func TestKeepEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	adds := make(chan uint64, 8)
	socket := switchThat(t, func(conn net.Conn) {
		_, _ = conn.Write(message{version: version, kind: typeHello}.encode())
		for {
			m, err := read(conn)
			if err != nil {
				return
			}
			switch m.kind {
			case typeFlowMod:
				cookie, err := removedCookie(m.body) // where it stands in both
				if err != nil {
					t.Error(err)
				}
				select {
				case adds <- cookie:
				default: // enough were seen
				}
			case typeBarrierRequest:
				_, _ = conn.Write(message{version: version, kind: typeBarrierReply, id: m.id}.encode())
				other := message{version: version, kind: typeFlowRemoved, body: []byte{0, 0, 0, 0, 0, 0, 0, 9}}
				mine := message{version: version, kind: typeFlowRemoved, body: []byte{0, 0, 0, 0, 0, 0, 0, 7}}
				_, _ = conn.Write(append(other.encode(), mine.encode()...))
			}
		}
	})
	held, seen := 0, make(chan error, 1)
	go func() {
		seen <- Keep(ctx, socket, Flow{Cookie: 7}, func() { held++ }, func() {})
	}()
	for range 3 {
		if cookie := <-adds; cookie != 7 {
			t.Errorf("a flow with cookie %d", cookie)
		}
	}
	cancel()
	if err := <-seen; err != nil {
		t.Errorf("told to end: %v", err)
	}
	if held < 2 {
		t.Errorf("said %d times that the flow is there", held)
	}
}

// switchThat listens for one connection and closes it when answer returns, which
// it may do before it has read what was sent.
func switchThat(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		answer(conn)
		_ = conn.(*net.UnixConn).CloseWrite()
		for { // else what is unread resets the connection
			if _, err := read(conn); err != nil {
				_ = conn.Close()
				return
			}
		}
	}()
	t.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		<-done
	})
	return socket
}
