// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
)

// maxEvent bounds one event. The largest have all labels of a container in them.
const maxEvent = 4 << 20

// events serves the engine's events but those of shadows.
func (e *Engine) events(w http.ResponseWriter, r *http.Request) {
	r.Header.Del("Accept-Encoding")
	proxy := *e.pass
	proxy.ModifyResponse = func(answer *http.Response) error {
		if answer.StatusCode == http.StatusOK {
			answer.Body = newOthersEvents(answer.Body)
			answer.ContentLength = -1
			answer.Header.Del("Content-Length")
		}
		return nil
	}
	proxy.ServeHTTP(w, r)
}

// Events calls each for the engine's events, but those of shadows, until the
// query's end, the context's or an error of each.
func (e *Engine) Events(ctx context.Context, query url.Values, each func(event json.RawMessage) error) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+engineHost+"/events?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	answer, err := e.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		data, err := readAnswer(answer.Body)
		if err != nil {
			return err
		}
		return refusalOf(answer.StatusCode, data)
	}
	events := newOthersEvents(answer.Body)
	for events.next() {
		if err := each(bytes.Clone(events.event())); err != nil {
			return err
		}
	}
	return events.lines.Err()
}

// othersEvents are the events of a stream that are not of shadows, one a line.
type othersEvents struct {
	io.Closer
	lines *bufio.Scanner
	rest  []byte
}

func newOthersEvents(body io.ReadCloser) *othersEvents {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxEvent)
	return &othersEvents{Closer: body, lines: lines}
}

// next moves on to the next event.
func (o *othersEvents) next() bool {
	for o.lines.Scan() {
		if len(o.event()) > 0 && !ofShadow(o.event()) {
			return true
		}
	}
	return false
}

// event is the event itself: newer versions of the API can put a separator before it.
func (o *othersEvents) event() []byte { return bytes.Trim(o.lines.Bytes(), "\x1e \r") }

// Read reads the stream with its separators.
func (o *othersEvents) Read(p []byte) (int, error) {
	if len(o.rest) == 0 {
		if !o.next() {
			if err := o.lines.Err(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
		o.rest = append(o.lines.Bytes(), '\n')
	}
	n := copy(p, o.rest)
	o.rest = o.rest[n:]
	return n, nil
}

// ofShadow tells whether an event is about one of the driver's networks. Who
// serves the networks tells of those.
func ofShadow(event []byte) bool {
	var e struct {
		Type  string
		Actor struct{ Attributes map[string]string }
	}
	return json.Unmarshal(event, &e) == nil && e.Type == "network" && e.Actor.Attributes["type"] == driver
}
