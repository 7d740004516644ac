// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An engine is asked once for each of its networks, which may be a thousand: each
// question has its time, all of them together that of a sweep.
func TestEveryQuestionHasItsTime(t *testing.T) {
	w := newWorld(t)
	if _, err := w.plugin.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.engine.patience <= engineTimeout {
		t.Errorf("all questions about endpoints together have %s, want more than %s", w.engine.patience, engineTimeout)
	}

	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/networks/") {
			<-r.Context().Done() // it hangs
			return
		}
		_, _ = fmt.Fprintf(w, `[{"ID":"n1","Driver":%q}]`, DriverName)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	e, err := NewDockerEngine(socket)
	if err != nil {
		t.Fatal(err)
	}
	e.timeout = 100 * time.Millisecond
	answered := make(chan error, 1)
	go func() {
		_, err := e.Endpoints(t.Context())
		answered <- err
	}()
	select {
	case err := <-answered:
		if err == nil {
			t.Error("an engine that hangs is no error")
		}
	case <-time.After(callTimeout / 2):
		t.Error("an engine that hangs is waited for")
	}
}
