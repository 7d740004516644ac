// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxEvent bounds one event. The largest have all labels of a container in them.
const maxEvent = 4 << 20

// events serves the engine's events but those of shadows, and those of the
// networks: first what has happened, in that order, and then what happens. The
// engine's end is the end: a client comes again.
func (e *Engine) events(w http.ResponseWriter, r *http.Request, networks http.Handler) {
	past, coming := periods(r.URL.Query(), time.Now())
	out := &lines{to: w, controller: http.NewResponseController(w)}
	if past != nil {
		all := &happened{}
		if !e.tellEvents(out, r, past, networks, all) || all.writeTo(out) != nil || coming == nil {
			return
		}
	}
	e.tellEvents(out, r, coming, networks, out)
}

// tellEvents gives the events that a query is for to a sink, as long as there are any.
// It begins the answer, and is false where it was refused.
func (e *Engine) tellEvents(out *lines, r *http.Request, query url.Values, networks http.Handler, to sink) bool {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if r = r.Clone(ctx); !maps.EqualFunc(query, r.URL.Query(), slices.Equal) { // else as it was written
		r.URL.RawQuery = query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+engineHost+r.URL.RequestURI(), nil)
	if err != nil {
		e.refuse(out.to, r, err)
		return false
	}
	request.Header = r.Header.Clone()
	request.Header.Del("Accept-Encoding")
	answer, err := e.client.Do(request)
	if err != nil {
		if !out.begun {
			e.refuse(out.to, r, err)
		}
		return false
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		if !out.begun {
			passAnswer(out.to, answer)
		}
		return false
	}
	if out.begin(answer) != nil {
		return false
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		own := &ownEvents{out: to, header: http.Header{}}
		networks.ServeHTTP(own, r)
		if own.refused != 0 {
			e.log.V(1).Info("The events of networks are missing in a stream", "query", r.URL.RawQuery, "status", own.refused)
		}
	}()
	for events := newOthersEvents(answer.Body); events.next(); {
		if to.write(events.record()) != nil {
			break
		}
	}
	// Where both end at a time that was named, what ours has still to tell is told.
	if until, _ := moment(query.Get("until")); until.IsZero() || time.Until(until) > time.Second {
		cancel()
	}
	<-done
	return true
}

// periods splits a query into what has happened until now and what will, either
// of which may be nil. Events of the past come from two sources at once, each in
// its own order. What cannot be read is left to the engine to refuse.
func periods(query url.Values, now time.Time) (past, coming url.Values) {
	since, okSince := moment(query.Get("since"))
	until, okUntil := moment(query.Get("until"))
	switch {
	case since.IsZero() && until.IsZero(), !okSince, !okUntil, since.After(now), !until.IsZero() && until.Before(since):
		return nil, query
	case !until.IsZero() && !until.After(now):
		return query, nil
	}
	past, coming = maps.Clone(query), maps.Clone(query)
	past.Set("until", written(now))
	coming.Set("since", written(now.Add(1)))
	return past, coming
}

// moment reads seconds since 1970, with a fraction. Nothing is the zero time.
func moment(s string) (t time.Time, ok bool) {
	if s == "" {
		return t, true
	}
	d, err := time.ParseDuration(s + "s")
	return time.Unix(0, int64(d)), err == nil
}

func written(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }

// sink takes events, each as one or several together, with line breaks.
type sink interface{ write(line []byte) error }

// lines writes events of several sources, each as one.
type lines struct {
	sync.Mutex
	to         http.ResponseWriter
	controller *http.ResponseController
	begun      bool
}

// begin begins the answer as the engine began its own.
func (l *lines) begin(like *http.Response) error {
	if l.begun {
		return nil
	}
	l.begun = true
	maps.Copy(l.to.Header(), like.Header)
	l.to.WriteHeader(http.StatusOK)
	return l.controller.Flush()
}

func (l *lines) write(line []byte) error {
	l.Lock()
	defer l.Unlock()
	if _, err := l.to.Write(line); err != nil {
		return err
	}
	return l.controller.Flush()
}

// happened are events of the past, of which each source keeps some hundred.
type happened struct {
	sync.Mutex
	events []pastEvent
}

type pastEvent struct {
	at   int64
	line []byte
}

func (h *happened) write(several []byte) error {
	h.Lock()
	defer h.Unlock()
	for line := range bytes.Lines(several) {
		var when struct{ TimeNano int64 }
		_ = json.Unmarshal(bytes.Trim(line, separators), &when) // what has no time was first
		h.events = append(h.events, pastEvent{when.TimeNano, bytes.Clone(line)})
	}
	return nil
}

func (h *happened) writeTo(out sink) error {
	slices.SortStableFunc(h.events, func(a, b pastEvent) int { return cmp.Compare(a.at, b.at) })
	for _, e := range h.events {
		if err := out.write(e.line); err != nil {
			return err
		}
	}
	return nil
}

// ownEvents takes the events of networks as they are answered.
type ownEvents struct {
	out     sink
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
func (o othersEvents) event() []byte { return bytes.Trim(o.lines.Bytes(), separators) }

const separators = "\x1e \r\n"

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
