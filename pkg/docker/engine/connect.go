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
// there is not, or for none. All else is served, with the container where it could
// be asked for.
func (e *Engine) orRefused(networks http.Handler, w http.ResponseWriter, r *http.Request, serve func(containerState)) {
	data, err := readBody(w, r)
	if err != nil {
		e.refuse(w, r, err)
		return
	}
	replaceBody(r, data)
	request, ok := readConnection(r.Header.Get("Content-Type"), data)
	ok = ok && request.Container != ""
	var c containerState
	if ok && !request.Force {
		c, err = e.container(r.Context(), request.Container)
		ok = !isNotFound(err) // all else is told when it is needed
	}
	if !ok {
		networks.ServeHTTP(w, r)
		return
	}
	serve(c)
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

// connect serves a request to connect a container, where it is known, to a network.
func (e *Engine) connect(w http.ResponseWriter, r *http.Request, of string, c containerState) {
	made := func(bool) {}
	ignored := e.newest(r)
	e.toShadow(w, r, of, "connect", func(ctx context.Context, n Network, body *object) error {
		if c.ID == "" {
			var err error
			if c, err = e.container(ctx, body.text("Container")); isNotFound(err) {
				return nil // the engine says so itself
			} else if err != nil {
				return err
			}
		}
		asked, _, err := parseObject(body.get("EndpointConfig"))
		if err != nil && body.get("EndpointConfig") != nil {
			return nil // the engine's to refuse
		}
		if ignored {
			asked.drop("MacAddress")
		}
		settings, err := e.connectSettings(n, c, asked)
		if err != nil {
			return err
		}
		if p, ok := expected(n, settings); ok && c.State.Running {
			made = e.expect(ctx, []Endpoint{p})
		}
		body.set("EndpointConfig", settings.encode())
		return nil
	}, func(done bool) { made(done) })
}

// newest makes a request to connect one of the newest version, where a MAC address
// is chosen. It tells whether the engine would have ignored the client's.
func (e *Engine) newest(r *http.Request) (ignored bool) {
	version, path := split(r.URL.Path)
	if !e.choosesMAC() || version == "" {
		return false
	}
	r.URL.Path, r.URL.RawPath = path, ""
	return minorOf(version) < macSince
}

// disconnect serves a request to disconnect a container from a network.
func (e *Engine) disconnect(w http.ResponseWriter, r *http.Request, of string) {
	e.toShadow(w, r, of, "disconnect", func(context.Context, Network, *object) error { return nil }, func(bool) {})
}

// toShadow hands a request about a network on to its shadow, with a changed body,
// and tells whether the engine has done it, before the client hears it.
func (e *Engine) toShadow(w http.ResponseWriter, r *http.Request, of, verb string, change func(ctx context.Context, n Network, body *object) error, done func(bool)) {
	data, err := readBody(w, r)
	if err == nil {
		var name string
		if name, data, err = e.onShadow(r.Context(), of, data, change); err == nil {
			prefix, _ := split(r.URL.Path)
			r.URL.Path, r.URL.RawPath = prefix+"/networks/"+name+"/"+verb, ""
		}
	}
	if err != nil {
		done(false)
		e.refuse(w, r, err)
		return
	}
	replaceBody(r, data)
	e.handOnTelling(w, r, nil, done)
}

func (e *Engine) onShadow(ctx context.Context, of string, data []byte, change func(ctx context.Context, n Network, body *object) error) (string, []byte, error) {
	n, err := e.network(ctx, of)
	if err != nil {
		return "", nil, err
	}
	body, rest, invalid := parseObject(data)
	// A network that the settings name counts, as an engine has it.
	if id := body.part("EndpointConfig").text("NetworkID"); id != "" {
		if n, err = e.network(ctx, id); err != nil {
			return "", nil, err
		}
	}
	if invalid != nil {
		name, err := e.knownBy(ctx, n)
		return name, data, err // the engine's to refuse
	}
	for _, member := range []string{"Container", "EndpointConfig"} {
		if _, err := body.index(member); err != nil {
			return "", nil, &Error{http.StatusBadRequest, "invalid JSON: " + err.Error()}
		}
	}
	if err := change(ctx, n, &body); err != nil {
		return "", nil, err
	}
	name, err := e.knownBy(ctx, n)
	return name, append(body.encode(), rest...), err
}

// connectSettings are the settings of an endpoint that a container gets, with
// what the driver is told of the container.
func (e *Engine) connectSettings(n Network, c containerState, asked object) (object, error) {
	if n.Driver == "host" || n.Driver == "null" {
		return asked, nil // the engine's to refuse
	}
	if n.Name == bridge {
		if said := onBridge(asked.encode()); said != "" {
			return nil, &Error{http.StatusBadRequest, said}
		}
	}
	asksGateway := c.asksGateway() && len(asked.texts("Links")) == 0
	if c.State.Running {
		asked = e.withMAC(asked, c, n)
	} // else when it is started: a container that has not run tells of no MAC address
	return tell(asked, c, asksGateway), nil
}
