// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"

	"github.com/moby/moby/api/types/network"
)

// orRefused has the network server refuse what can only be refused, before a
// shadow is made for it: a request that cannot be read, or is for a container that
// there is not, or for none.
func (e *Engine) orRefused(networks http.Handler, w http.ResponseWriter, r *http.Request, serve func()) {
	data, err := readBody(w, r)
	if err != nil {
		e.refuse(w, r, err)
		return
	}
	replaceBody(r, data)
	request, ok := readConnection(r.Header.Get("Content-Type"), data)
	ok = ok && request.Container != ""
	if ok && !request.Force {
		_, err := e.container(r.Context(), request.Container)
		ok = !isNotFound(err) // all else is told when it is needed
	}
	if !ok {
		networks.ServeHTTP(w, r)
		return
	}
	serve()
}

// connection is what requests to connect and to disconnect have.
type connection struct {
	Container      string
	EndpointConfig *network.EndpointSettings
	Force          bool
}

// readConnection tells whether a request can be read, by the engine's rules.
func readConnection(contentType string, data []byte) (c connection, ok bool) {
	if contentType != "" {
		if media, _, err := mime.ParseMediaType(contentType); err != nil || media != "application/json" {
			return c, false
		}
	}
	return c, json.Unmarshal(data, &c) == nil
}

// connect serves a request to connect a container to a network.
func (e *Engine) connect(w http.ResponseWriter, r *http.Request, of string) {
	e.toShadow(w, r, of, "connect", func(ctx context.Context, n Network, body *object) error {
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
func (e *Engine) disconnect(w http.ResponseWriter, r *http.Request, of string) {
	e.toShadow(w, r, of, "disconnect", func(context.Context, Network, *object) error { return nil })
}

// toShadow hands a request about a network on to its shadow, with a changed body.
func (e *Engine) toShadow(w http.ResponseWriter, r *http.Request, of, verb string, change func(ctx context.Context, n Network, body *object) error) {
	data, err := readBody(w, r)
	if err == nil {
		var name string
		if name, data, err = e.onShadow(r.Context(), of, data, change); err == nil {
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

func (e *Engine) onShadow(ctx context.Context, of string, data []byte, change func(ctx context.Context, n Network, body *object) error) (string, []byte, error) {
	networks, err := e.ours(ctx)
	if err != nil {
		return "", nil, err
	}
	n, err := find(networks, of)
	if err != nil {
		return "", nil, err
	}
	body, rest, invalid := parseObject(data)
	// A network that the settings name counts, as an engine has it.
	if id := body.part("EndpointConfig").text("NetworkID"); id != "" {
		if n, err = find(networks, id); err != nil {
			return "", nil, err
		}
	}
	name, err := e.knownBy(ctx, n)
	if err != nil {
		return "", nil, err
	}
	if invalid != nil {
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
	return tell(settings, c, c.asksGateway() && !hasLinks(asked)).encode(), nil
}
