// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
)

// patience bounds what a test waits for; nothing is expected to take it.
const patience = 30 * time.Second

// list is a fixed list of networks.
type list []Network

func (l list) Networks(context.Context) ([]Network, error)                { return l, nil }
func (l list) Candidates(context.Context, string) ([]Network, error)      { return l, nil }
func (l list) Ports(context.Context, []string) (map[string][]Port, error) { return nil, nil }
func (l list) Rename(context.Context, Network, string, string) error      { return nil }

// serve serves HTTP on a socket of its own, and returns its path.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "engine") // t.TempDir() is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return path
}

// inFront returns the socket of a proxy in front of an engine's socket.
func inFront(t *testing.T, socket string, networks Networks) string {
	t.Helper()
	e, err := New(Options{Address: "unix://" + socket, Networks: networks, Log: testr.NewWithOptions(t, testr.Options{Verbosity: 1})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return serve(t, e.InFrontOf(e.pass))
}

// dial connects to a socket.
func dial(t *testing.T, socket string) *net.UnixConn {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.UnixConn)
}

// client is an HTTP client of a socket.
func client(t *testing.T, socket string) *http.Client {
	t.Helper()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// begin sends a request and reads the head of its answer.
func begin(t *testing.T, conn net.Conn, request string) (*bufio.Reader, *http.Response) {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	return reader, answer
}

// upgraded is a handler that takes its connection over, as attach does.
func upgraded(t *testing.T, head string, then func(conn *net.UnixConn, in io.Reader)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, strings.ReplaceAll(head, "\n", "\r\n")); err != nil {
			t.Error(err)
			return
		}
		then(conn.(*net.UnixConn), buffered)
	})
}
