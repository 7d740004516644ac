// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"net/http"
)

// connect serves a request to connect a container to a network.
func (e *Engine) connect(w http.ResponseWriter, r *http.Request, network string) {
	e.toShadow(w, r, network, "connect", func(ctx context.Context, n Network, body *object) error {
		c, err := e.container(ctx, body.text("Container"))
		if isNotFound(err) {
			return nil // the engine says so itself
		}
		if err != nil {
			return err
		}
		settings, err := connectSettings(n, c, body.get("EndpointConfig"))
		if err != nil {
			return err
		}
		body.set("EndpointConfig", settings)
		return nil
	})
}

// disconnect serves a request to disconnect a container from a network.
func (e *Engine) disconnect(w http.ResponseWriter, r *http.Request, network string) {
	e.toShadow(w, r, network, "disconnect", func(context.Context, Network, *object) error { return nil })
}

// toShadow hands a request about a network on to its shadow, with a changed body.
func (e *Engine) toShadow(w http.ResponseWriter, r *http.Request, network, verb string, change func(ctx context.Context, n Network, body *object) error) {
	data, err := readBody(w, r)
	if err == nil {
		var name string
		if name, data, err = e.onShadow(r.Context(), network, data, change); err == nil {
			prefix, _ := split(r.URL.Path)
			r.URL.Path, r.URL.RawPath = prefix+"/networks/"+name+"/"+verb, ""
		}
	}
	if err != nil {
		e.refuse(w, r, err)
		return
	}
	replaceBody(r, data)
	e.handOnTo(w, r, nil)
}

func (e *Engine) onShadow(ctx context.Context, network string, data []byte, change func(ctx context.Context, n Network, body *object) error) (string, []byte, error) {
	networks, err := e.ours(ctx)
	if err != nil {
		return "", nil, err
	}
	n, err := find(networks, network)
	if err != nil {
		return "", nil, err
	}
	name, err := e.knownBy(ctx, n)
	if err != nil {
		return "", nil, err
	}
	body, rest, err := parseObject(data)
	if err != nil {
		return name, data, nil // the engine's to refuse
	}
	for _, member := range []string{"Container", "EndpointConfig"} {
		if _, err := body.index(member); err != nil {
			return "", nil, &Error{http.StatusBadRequest, "invalid JSON: " + err.Error()}
		}
	}
	if err := change(ctx, n, &body); err != nil {
		return "", nil, err
	}
	return name, append(body.encode(), rest...), nil
}

// connectSettings are the settings of an endpoint that a container gets, with
// what the driver is told of the container.
func connectSettings(n Network, c containerState, asked json.RawMessage) (json.RawMessage, error) {
	if n.Driver == "host" || n.Driver == "null" {
		if asked == nil {
			asked = json.RawMessage("{}")
		}
		return asked, nil // the engine's to refuse
	}
	if n.Name == bridge {
		if said := onBridge(asked); said != "" {
			return nil, &Error{http.StatusBadRequest, said}
		}
	}
	settings, _, err := parseObject(asked)
	if err != nil && asked != nil {
		return asked, nil // the engine's to refuse
	}
	return tell(settings, c.ID, c.Name).encode(), nil
}
