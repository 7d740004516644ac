// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
)

// handOnTo lets the engine answer, and changes a successful answer that is JSON.
// In refusals the names of shadows become ours.
func (e *Engine) handOnTo(w http.ResponseWriter, r *http.Request, change func(ctx context.Context, data []byte) ([]byte, error)) {
	e.handOnTelling(w, r, change, func(bool) {})
}

// handOnTelling also tells whether the engine has done what it was asked for,
// before the client hears it.
func (e *Engine) handOnTelling(w http.ResponseWriter, r *http.Request, change func(ctx context.Context, data []byte) ([]byte, error), done func(bool)) {
	answered := false
	defer func() {
		if !answered {
			done(false)
		}
	}()
	e.handOnAnd(w, r, func(answer *http.Response) error {
		refused := answer.StatusCode >= http.StatusBadRequest
		answered = true
		done(!refused)
		if !refused && (change == nil || answer.StatusCode != http.StatusOK) {
			return nil
		}
		data, err := readAnswer(answer.Body)
		if err != nil {
			return err
		}
		_ = answer.Body.Close()
		if refused {
			answer.StatusCode, data = e.refusal(answer.StatusCode, data)
			answer.Status = ""
		} else if data, err = change(r.Context(), data); err != nil {
			return err
		}
		answer.Body = io.NopCloser(bytes.NewReader(data))
		answer.ContentLength = int64(len(data))
		answer.TransferEncoding = nil
		answer.Header.Set("Content-Length", strconv.Itoa(len(data)))
		return nil
	})
}

// handOnAnd lets the engine answer, and has something done before the client
// hears it.
func (e *Engine) handOnAnd(w http.ResponseWriter, r *http.Request, do func(answer *http.Response) error) {
	r.Header.Del("Accept-Encoding")
	proxy := *e.pass
	proxy.ModifyResponse = do
	_ = http.NewResponseController(w).EnableFullDuplex()
	proxy.ServeHTTP(w, r)
}

// refusal is the engine's refusal in our names.
func (e *Engine) refusal(status int, data []byte) (int, []byte) {
	body, rest, err := parseObject(data)
	if err != nil {
		return status, data
	}
	said := refusalOf(status, data).Message
	ours := (translation{shadows: e.known.all()}).text(said)
	status, ours = asIfItsOwn(status, ours)
	if ours != said {
		body.set("message", encode(ours))
		return status, append(body.encode(), rest...)
	}
	return status, data
}

// ofDriver is what an engine says that a driver of another process refuses.
var ofDriver = regexp.MustCompile(`^(failed to set up container networking: )?remote: `)

// asIfItsOwn is a refusal of a driver as one of the engine's own drivers would say it.
func asIfItsOwn(status int, message string) (int, string) {
	m := ofDriver.FindStringSubmatch(message)
	if m == nil {
		return status, message
	}
	said := message[len(m[0]):]
	if said == "Address already in use" {
		status = http.StatusForbidden
	}
	return status, m[1] + said
}

// inspect serves what is known of a container.
func (e *Engine) inspect(w http.ResponseWriter, r *http.Request) {
	e.handOnTo(w, r, func(ctx context.Context, data []byte) ([]byte, error) {
		container, rest, err := parseObject(data)
		if err != nil {
			return nil, fmt.Errorf("what it says of a container: %w", err)
		}
		t, err := e.translation(ctx, []object{container})
		if err != nil {
			return nil, err
		}
		return append(t.inspected(container).encode(), rest...), nil
	})
}

// list serves a list of containers.
func (e *Engine) list(w http.ResponseWriter, r *http.Request) {
	if err := e.filterByShadow(r); err != nil {
		e.refuse(w, r, err)
		return
	}
	e.handOnTo(w, r, func(ctx context.Context, data []byte) ([]byte, error) {
		var list []json.RawMessage
		if err := json.Unmarshal(data, &list); err != nil {
			return nil, fmt.Errorf("its list of containers: %w", err)
		}
		containers := make([]object, len(list))
		for i, one := range list {
			var err error
			if containers[i], _, err = parseObject(one); err != nil {
				return nil, fmt.Errorf("its list of containers: %w", err)
			}
		}
		t, err := e.translation(ctx, containers)
		if err != nil {
			return nil, err
		}
		for i, c := range containers {
			list[i] = t.listed(c).encode()
		}
		if list == nil {
			return data, nil
		}
		return append(encode(list), '\n'), nil
	})
}

// filterByShadow makes a filter by networks one by their shadows. A network that
// no container ever was on has none, and its name matches nothing.
func (e *Engine) filterByShadow(r *http.Request) error {
	query := r.URL.Query()
	filters, rest, err := parseObject([]byte(query.Get("filters")))
	if err != nil || len(rest) > 0 {
		return nil // the engine's to refuse, or none
	}
	changed := false
	for i, m := range filters {
		if m.name != "network" {
			continue
		}
		networks, err := e.ours(r.Context())
		if err != nil {
			return err
		}
		filters[i].value = shadowFilter(m.value, networks)
		changed = true
	}
	if changed {
		query.Set("filters", string(filters.encode()))
		r.URL.RawQuery = query.Encode()
	}
	return nil
}

// shadowFilter translates the values of a filter, in both of its forms. Unlike
// elsewhere a value is a name or the beginning of an id, of any number of networks.
func shadowFilter(value json.RawMessage, networks []Network) json.RawMessage {
	var listed []string
	if json.Unmarshal(value, &listed) != nil {
		var set map[string]bool
		if json.Unmarshal(value, &set) != nil {
			return value
		}
		for ref := range set {
			listed = append(listed, ref)
		}
	}
	out := map[string]bool{}
	for _, ref := range listed {
		matches := matching(networks, ref)
		if len(matches) == 0 {
			out[ref] = true
		}
		for _, n := range matches {
			out[n] = true
		}
	}
	return encode(out)
}

// translation is what an answer about containers is translated by. The engine is
// asked for its shadows only where one is not known.
func (e *Engine) translation(ctx context.Context, containers []object) (translation, error) {
	t := translation{shadows: e.known.all(), predefined: e.predefined}
	if !t.knows(containers) {
		shadows, err := e.lookAtShadows(ctx)
		if err != nil {
			return t, err
		}
		t.shadows = shadows
	}
	if on := t.networksOf(containers); len(on) > 0 {
		var err error
		if t.ports, err = e.networks.Ports(ctx, on); err != nil {
			return t, oursAway(err)
		}
	}
	return t, nil
}
