// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types"
	"github.com/moby/moby/api/types/events"
)

// includes tells whether a client wants an event.
func (f filters) includes(e events.Message) bool {
	if !f.is("event", string(e.Action)) || !f.is("type", string(e.Type)) || !f.is("scope", e.Scope) || !f.have("label", e.Actor.Attributes) {
		return false
	}
	name := e.Actor.Attributes["name"]
	for _, kind := range []string{"daemon", "container", "plugin", "volume", "network", "node", "service", "secret", "config"} {
		if !f.begins(kind, e.Actor.ID) && !f.begins(kind, name) {
			return false
		}
	}
	return f.is("image", e.Actor.ID) || f.is("image", "")
}

func (s *Server) streamEvents(ctx context.Context, w http.ResponseWriter, r *call) error {
	since, err := parseEventTime("since", r.Form.Get("since"))
	if err != nil {
		return err
	}
	until, err := parseEventTime("until", r.Form.Get("until"))
	if err != nil {
		return err
	}
	if !until.IsZero() && until.Before(since) {
		return badRequest("`since` time (%s) cannot be after `until` time (%s)", r.Form.Get("since"), r.Form.Get("until"))
	}
	f, err := parseFilters(r.Form.Get("filters"))
	if err != nil {
		return err
	}
	if !until.IsZero() {
		var done context.CancelFunc
		ctx, done = context.WithDeadline(ctx, until)
		defer done()
	}
	contentType := eventsContentType(r.Header, r.version)
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	flusher := http.NewResponseController(w)
	past, coming, cancel := s.events.subscribe(since, until)
	defer cancel()
	// The head is sent when all that happens from now on will be, too.
	if err := flusher.Flush(); err != nil {
		return nil
	}
	for _, e := range past {
		if f.includes(e) && writeEvent(w, contentType, e) != nil {
			return nil
		}
	}
	if flusher.Flush() != nil || !until.IsZero() && until.Before(time.Now()) {
		return nil
	}
	for {
		select {
		case e, open := <-coming:
			if !open {
				return nil
			}
			if f.includes(e) && (writeEvent(w, contentType, e) != nil || flusher.Flush() != nil) {
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func writeEvent(w io.Writer, contentType string, e events.Message) error {
	if contentType == types.MediaTypeJSONSequence {
		if _, err := w.Write([]byte{0x1e}); err != nil {
			return err
		}
	}
	return json.NewEncoder(w).Encode(e)
}

// eventsContentType is the form that a client accepts best, or else that of its
// version.
func eventsContentType(h http.Header, version string) string {
	best, quality := types.MediaTypeJSONLines, 0.0
	if olderThan(version, "1.52") {
		best = types.MediaTypeJSON
	}
	for _, offer := range []string{types.MediaTypeJSONLines, types.MediaTypeNDJSON, types.MediaTypeJSONSequence} {
		for part := range strings.SplitSeq(strings.Join(h.Values("Accept"), ","), ",") {
			media, parameters, err := mime.ParseMediaType(part)
			if err != nil || media != offer {
				continue
			}
			q := 1.0
			if s, ok := parameters["q"]; ok {
				q, _ = strconv.ParseFloat(s, 64)
			}
			if q > quality {
				best, quality = offer, q
			}
		}
	}
	return best
}
