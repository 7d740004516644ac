// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestBrokenOff: arcad is killed just before or just after it has carried out one of
// the calls by which a container's way out moves to another network. Whether the
// engine goes on or takes it back, the container's ports are published afterwards.
func TestBrokenOff(t *testing.T) {
	w := newWorld(t)
	b := w.breakable()
	for _, fronted := range []bool{false, true} {
		docker, try, create := w.run, w.attempt, []string{"network", "create", "-d", "arca", "--ipam-driver", "arca"}
		if fronted {
			docker, try = w.front()
			create = create[:2]
		}
		docker(append(create, "n1")...)
		docker(append(create, "n2")...)
		for _, test := range []struct {
			name, call string
			carried    bool
		}{
			{"before a revocation", "RevokeExternalConnectivity", false},
			{"after a revocation", "RevokeExternalConnectivity", true},
			{"before programming", "ProgramExternalConnectivity", false},
			{"after programming", "ProgramExternalConnectivity", true},
		} {
			name := test.name + ", by the driver alone"
			if fronted {
				name = test.name + ", through arcad"
			}
			t.Run(name, func(t *testing.T) {
				w.T = t
				docker(append([]string{"run", "-d", "--name", "c1", "--network", "n1", "-p", "8080:80"}, serve("c1")...)...)
				w.mustAgree()
				broken := b.next(test.call, test.carried)
				_, err := try("network", "connect", "--gw-priority", "10", "n2", "c1")
				t.Logf("connecting: %v", err)
				select {
				case <-broken:
				case <-time.After(patience):
					t.Fatalf("%s was not called", test.call)
				}
				w.mustAgree()
				w.published("127.0.0.1:8080", "c1")
				docker("rm", "-f", "c1")
				w.unpublished("127.0.0.1:8080")
				w.mustAgree()
			})
			w.T = t
		}
		docker("network", "rm", "n1", "n2")
	}
}

// breaker stands between an engine and arcad's driver, and breaks off a call.
type breaker struct {
	http.Handler

	mu      sync.Mutex
	call    string
	carried bool // to arcad, whose answer is lost
	broken  chan struct{}
}

// breakable puts a breaker before arcad's driver.
func (w *world) breakable() *breaker {
	w.Helper()
	front := w.driver
	w.arcad.kill()
	w.driver = filepath.Join(w.daemons.RunDir, "driver.sock")
	w.startArcad()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", w.driver)
	}
	// The engine waits for a driver that does not listen yet, but not for one whose
	// front answers that there is none.
	w.eventually(func() error {
		c, err := dial(w.Context(), "", "")
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "arcad"})
	proxy.Transport = &http.Transport{DialContext: dial}
	b := &breaker{Handler: proxy}
	_ = os.Remove(front) // a kill leaves it
	l, err := net.Listen("unix", front)
	if err != nil {
		w.Fatal(err)
	}
	server := &http.Server{Handler: b, ReadHeaderTimeout: patience}
	go func() { _ = server.Serve(l) }()
	w.Cleanup(func() { _ = server.Close() })
	return b
}

// next breaks off the next call of this name; the channel tells when that was.
func (b *breaker) next(call string, carried bool) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.call, b.carried, b.broken = "/NetworkDriver."+call, carried, make(chan struct{})
	return b.broken
}

// due tells whether a call is to be broken off.
func (b *breaker) due(call string) (due, carried bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if call != b.call {
		return false, false
	}
	b.call = ""
	close(b.broken)
	return true, b.carried
}

func (b *breaker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	due, carried := b.due(r.URL.Path)
	if !due {
		b.Handler.ServeHTTP(w, r)
		return
	}
	if carried {
		b.Handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	panic(http.ErrAbortHandler) // closes the connection without an answer
}
