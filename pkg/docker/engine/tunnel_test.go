// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	switching = "HTTP/1.1 101 UPGRADED\nContent-Type: application/vnd.docker.raw-stream\nConnection: Upgrade\nUpgrade: tcp\n\n"
	raw       = "HTTP/1.1 200 OK\nContent-Type: application/vnd.docker.raw-stream\n\n"

	attach    = "POST /v1.41/containers/c1/attach?stdin=1&stdout=1&stream=1 HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
	attachOld = "POST /containers/c1/attach?stdin=1&stdout=1&stream=1 HTTP/1.1\r\nHost: d\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n"
	execOld   = "POST /exec/x1/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"Detach\":false}"
	session   = "POST /session HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nX-Docker-Expose-Session-Uuid: u1\r\n\r\n"
)

// echo answers when its input has ended: only half-close can make it.
func echo(conn *net.UnixConn, in io.Reader) {
	data, _ := io.ReadAll(in)
	_, _ = conn.Write(append([]byte("got "), data...))
}

// A stream is half-closed: output comes after the input's end, for every way to ask for one.
func TestStreamIsHalfClosed(t *testing.T) {
	for _, c := range []struct {
		name, request, head string
		status              int
	}{
		{"attach that upgrades", attach, switching, http.StatusSwitchingProtocols},
		{"attach of old", attachOld, raw, http.StatusOK},
		{"exec of old", execOld, raw, http.StatusOK},
		{"session", session, strings.ReplaceAll(switching, "tcp", "h2c"), http.StatusSwitchingProtocols},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := dial(t, inFront(t, serve(t, upgraded(t, c.head, echo)), list{}))
			// The input follows the request at once: some of it is read ahead.
			reader, answer := begin(t, conn, c.request+"early ")
			if answer.StatusCode != c.status {
				t.Fatalf("status %d, want %d", answer.StatusCode, c.status)
			}
			if want := "application/vnd.docker.raw-stream"; answer.Header.Get("Content-Type") != want {
				t.Errorf("content type %q, want %q", answer.Header.Get("Content-Type"), want)
			}
			if _, err := io.WriteString(conn, "late"); err != nil {
				t.Fatal(err)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(reader)
			if err != nil || string(got) != "got early late" {
				t.Fatalf("got %q, %v", got, err)
			}
		})
	}
}

// The engine ends its output first, and still receives.
func TestOutputEndsBeforeInput(t *testing.T) {
	received := make(chan string, 1)
	engine := serve(t, upgraded(t, switching, func(conn *net.UnixConn, in io.Reader) {
		_, _ = io.WriteString(conn, "bye")
		_ = conn.CloseWrite()
		data, _ := io.ReadAll(in)
		received <- string(data)
	}))
	conn := dial(t, inFront(t, engine, list{}))
	reader, _ := begin(t, conn, attach)
	if got, err := io.ReadAll(reader); err != nil || string(got) != "bye" {
		t.Fatalf("got %q, %v", got, err)
	}
	if _, err := io.WriteString(conn, "more"); err != nil {
		t.Fatal(err)
	}
	_ = conn.CloseWrite()
	if got := <-received; got != "more" {
		t.Fatalf("the engine received %q", got)
	}
}

// A client that goes is gone for the engine too, although nothing is sent.
func TestClientGoes(t *testing.T) {
	gone := make(chan bool, 1)
	engine := serve(t, upgraded(t, switching, func(conn *net.UnixConn, in io.Reader) {
		_, _ = io.Copy(io.Discard, in) // its input ends, as it does by half-close
		gone <- hungUp(conn)
	}))
	conn := dial(t, inFront(t, engine, list{}))
	begin(t, conn, attach)
	_ = conn.Close()
	select {
	case hung := <-gone:
		if !hung {
			t.Fatal("the engine cannot tell that the client is gone")
		}
	case <-time.After(patience):
		t.Fatal("the engine's connection is still open")
	}
}

// The engine goes: the client's stream ends, although the client sends nothing.
func TestEngineGoes(t *testing.T) {
	engine := serve(t, upgraded(t, switching, func(*net.UnixConn, io.Reader) {}))
	conn := dial(t, inFront(t, engine, list{}))
	reader, _ := begin(t, conn, attach)
	if _, err := io.ReadAll(reader); err != nil {
		t.Fatal(err)
	}
	if !hungUp(conn) {
		t.Fatal("the connection is still open")
	}
}

// What is refused instead of upgraded is an answer like any other, and the connection serves on.
func TestStreamIsRefused(t *testing.T) {
	const refusal = `{"message":"Container c1 is not running"}`
	engine := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Api-Version", "1.41")
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, refusal)
	}))
	conn := dial(t, inFront(t, engine, list{}))
	for range 2 {
		_, answer := begin(t, conn, attach)
		body, err := io.ReadAll(answer.Body)
		if err != nil || string(body) != refusal || answer.StatusCode != http.StatusConflict || answer.Header.Get("Api-Version") != "1.41" {
			t.Fatalf("%d %q %v %v", answer.StatusCode, body, answer.Header, err)
		}
	}
}
