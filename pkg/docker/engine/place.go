// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// maxBody bounds a request that is read into memory; uploads are not.
const maxBody = 32 << 20

// create serves a request to create a container: on the shadows of its networks.
func (e *Engine) create(w http.ResponseWriter, r *http.Request) {
	data, err := readBody(w, r)
	if err == nil {
		data, err = e.placed(r.Context(), r.URL.Query().Get("name"), data)
	}
	if err != nil {
		e.refuse(w, r, err)
		return
	}
	replaceBody(r, data)
	e.handOnTo(w, r, nil)
}

// readBody reads a request whose body is rewritten.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return nil, &Error{http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is longer than %d bytes", maxBody)}
	case err != nil:
		return nil, &Error{http.StatusBadRequest, "reading the request: " + err.Error()}
	}
	return data, nil
}

func replaceBody(r *http.Request, data []byte) {
	r.Body = io.NopCloser(bytes.NewReader(data))
	r.ContentLength = int64(len(data))
	r.TransferEncoding = nil
	r.Header.Del("Content-Length")
}

// placed returns a request's body with the shadows of its networks, which it makes.
func (e *Engine) placed(ctx context.Context, name string, data []byte) ([]byte, error) {
	request, err := parseCreation(data)
	if request == nil || request.off || err != nil {
		return data, err
	}
	refs := request.refs()
	if len(refs) == 0 {
		return data, nil
	}
	places := map[string]place{}
	for _, ref := range refs {
		n, err := e.network(ctx, ref)
		if isNotFound(err) {
			if err := e.noNetworkOfItsOwn(ctx, ref, err); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		places[ref] = place{Network: n}
	}
	if err := request.check(places); err != nil {
		return nil, err
	}
	for ref, p := range places {
		// One that was seen is not looked for again: before a start it is.
		if s, seen := (translation{shadows: e.known.all()}).shadow(shadowName(p.ID)); seen && s.network == p.ID {
			p.shadow = s.name
		} else if p.shadow, err = e.knownBy(ctx, p.Network); err != nil {
			return nil, err
		}
		places[ref] = p
	}
	return request.onShadows(name, places), nil
}

// knownBy is what the engine knows a network by.
func (e *Engine) knownBy(ctx context.Context, n Network) (string, error) {
	switch n.Driver {
	case "host":
		return "host", nil
	case "null":
		return "none", nil
	}
	s, err := e.shadowOf(ctx, n)
	return s.name, err
}

// noNetworkOfItsOwn refuses a reference that means nothing to us, but something
// to the engine: it would put the container on a network that is not ours.
func (e *Engine) noNetworkOfItsOwn(ctx context.Context, ref string, refusal error) error {
	var n engineNetwork
	err := e.call(ctx, http.MethodGet, "/networks/"+url.PathEscape(ref), nil, nil, &n)
	var said *Error
	switch {
	case err == nil:
		return &Error{http.StatusBadRequest, refusal.Error()}
	case errors.As(err, &said) && said.Status < http.StatusInternalServerError:
		return nil
	}
	return err
}

// build serves a build. The engine's older builder runs its steps in containers;
// the newer one has networks of its own.
func (e *Engine) build(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	mode := query.Get("networkmode")
	if query.Get("version") == "2" || isPassed(mode) {
		e.handOn(w, r)
		return
	}
	n, err := e.network(r.Context(), named(mode))
	if err != nil {
		e.refuse(w, r, err)
		return
	}
	shadow, err := e.knownBy(r.Context(), n)
	if err != nil {
		e.refuse(w, r, err)
		return
	}
	query.Set("networkmode", shadow)
	r.URL.RawQuery = query.Encode()
	e.handOnTo(w, r, nil)
}
