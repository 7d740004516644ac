// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
)

// maxEvent bounds one event. The largest have all labels of a container in them.
const maxEvent = 4 << 20

// events serves the engine's events but those of shadows, and in between those
// of the networks. The engine's end is the end: a client comes again.
func (e *Engine) events(w http.ResponseWriter, r *http.Request, networks http.Handler) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+engineHost+r.URL.RequestURI(), nil)
	if err != nil {
		e.refuse(w, r, err)
		return
	}
	request.Header = r.Header.Clone()
	request.Header.Del("Accept-Encoding")
	answer, err := e.client.Do(request)
	if err != nil {
		e.refuse(w, r, err)
		return
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		passAnswer(w, answer)
		return
	}
	maps.Copy(w.Header(), answer.Header)
	w.WriteHeader(http.StatusOK)
	out := &lines{to: w, controller: http.NewResponseController(w)}
	if out.controller.Flush() != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		own := &ownEvents{out: out, header: http.Header{}}
		networks.ServeHTTP(own, r.WithContext(ctx))
		if own.refused != 0 {
			e.log.V(1).Info("The events of networks are missing in a stream", "query", r.URL.RawQuery, "status", own.refused)
		}
	}()
	for events := newOthersEvents(answer.Body); events.next(); {
		if out.write(events.record()) != nil {
			break
		}
	}
	if r.URL.Query().Get("until") == "" {
		cancel()
	}
	<-done
}

// lines writes events of several sources, each as one.
type lines struct {
	sync.Mutex
	to         io.Writer
	controller *http.ResponseController
}

func (l *lines) write(line []byte) error {
	l.Lock()
	defer l.Unlock()
	if _, err := l.to.Write(line); err != nil {
		return err
	}
	return l.controller.Flush()
}

// ownEvents takes the events of networks as they are answered.
type ownEvents struct {
	out     *lines
	header  http.Header
	refused int
	begun   []byte
}

func (o *ownEvents) Header() http.Header { return o.header }

func (o *ownEvents) WriteHeader(status int) {
	if status != http.StatusOK {
		o.refused = status
	}
}

func (o *ownEvents) Write(p []byte) (int, error) {
	if o.refused != 0 {
		return len(p), nil
	}
	o.begun = append(o.begun, p...)
	if end := bytes.LastIndexByte(o.begun, '\n') + 1; end > 0 {
		if err := o.out.write(o.begun[:end]); err != nil {
			return 0, err
		}
		o.begun = append(o.begun[:0], o.begun[end:]...)
	}
	return len(p), nil
}

// FlushError is there for who flushes; each event is flushed anyway.
func (o *ownEvents) FlushError() error { return nil }

// othersEvents are the events of a stream that are not of shadows, one a line.
type othersEvents struct{ lines *bufio.Scanner }

func newOthersEvents(body io.Reader) othersEvents {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxEvent)
	return othersEvents{lines}
}

// next moves on to the next event.
func (o othersEvents) next() bool {
	for o.lines.Scan() {
		if len(o.event()) > 0 && !ofShadow(o.event()) {
			return true
		}
	}
	return false
}

// event is the event itself: newer versions of the API can put a separator before it.
func (o othersEvents) event() []byte { return bytes.Trim(o.lines.Bytes(), "\x1e \r") }

// record is the event with its separators.
func (o othersEvents) record() []byte { return append(bytes.Clone(o.lines.Bytes()), '\n') }

// ofShadow tells whether an event is about a shadow. Who serves the networks
// tells of what happens to them.
func ofShadow(event []byte) bool {
	var e struct {
		Type  string
		Actor struct{ Attributes map[string]string }
	}
	return json.Unmarshal(event, &e) == nil && e.Type == "network" && strings.HasPrefix(e.Actor.Attributes["name"], shadowPrefix)
}
