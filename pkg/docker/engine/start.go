// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/vas-solutus/arca-network/pkg/docker"
)

// start serves the start of a container, or its restart. Before it the engine
// has all networks of the container, and the driver is told whose they are.
func (e *Engine) start(w http.ResponseWriter, r *http.Request, container string) {
	endpoints, err := e.prepare(r.Context(), container)
	if err != nil {
		e.refuse(w, r, err)
		return
	}
	made := e.expect(r.Context(), endpoints)
	done := e.handOnTo(w, r, nil)
	made(done)
}

// prepare makes a container ready that does not run, and tells of the endpoints
// that it will have. What its driver is told of it is not known when it is
// created, and its name may have changed since.
func (e *Engine) prepare(ctx context.Context, container string) (endpoints []Endpoint, err error) {
	c, err := e.container(ctx, container)
	if isNotFound(err) {
		return nil, nil // the engine says so itself
	}
	if err != nil {
		return nil, err
	}
	names := c.shadows()
	if len(names) == 0 || c.State.Running {
		return nil, nil
	}
	for _, name := range names {
		n, err := e.behind(ctx, name)
		if err != nil {
			return nil, err
		}
		settings, err := e.prepareOn(ctx, c, name, n)
		if err != nil {
			return nil, err
		}
		if p, ok := expected(n, settings); ok {
			endpoints = append(endpoints, p)
		}
	}
	return endpoints, nil
}

// behind is the network of ours that a shadow of that name stands for.
func (e *Engine) behind(ctx context.Context, name string) (Network, error) {
	t := translation{shadows: e.known.all()}
	ref := strings.TrimPrefix(name, shadowPrefix)
	if s, known := t.shadow(name); known {
		ref = s.network // a whole id is found without a look at all networks
	}
	n, err := e.network(ctx, ref)
	if isNotFound(err) || err == nil && shadowName(n.ID) != name {
		return n, &Error{http.StatusNotFound, "network " + t.text(name) + " not found"}
	}
	return n, err
}

// prepareOn prepares a container's endpoint on one shadow, and returns its
// settings. They cannot be changed, so it is made anew where they have to.
func (e *Engine) prepareOn(ctx context.Context, c containerState, name string, n Network) (told object, err error) {
	s, err := e.shadowOf(ctx, n)
	if err != nil {
		return nil, err
	}
	settings, _, err := parseObject(c.NetworkSettings.Networks[name])
	if err != nil {
		settings = object{}
	}
	was := settings.text("NetworkID")
	told = tell(e.withMAC(wanted(settings), c, n), c.ID, c.Name)
	if (was == "" || was == s.id) && sameOptions(told.options(), settings.options()) {
		return told, nil
	}
	if err := e.call(ctx, http.MethodPost, "/networks/"+name+"/disconnect", nil, map[string]any{"Container": c.ID, "Force": true}, nil); err != nil {
		return nil, err
	}
	// A client that has gone does not leave its container without a network.
	return told, e.call(context.WithoutCancel(ctx), http.MethodPost, "/networks/"+name+"/connect", nil, object{
		{"Container", encode(c.ID)}, {"EndpointConfig", told.encode()},
	}.encode(), nil)
}

// withMAC gives settings that ask for no MAC address one, where that is done here.
func (e *Engine) withMAC(settings object, c containerState, n Network) object {
	if e.choosesMAC() && settings.text("MacAddress") == "" {
		settings.set("MacAddress", encode(docker.DerivedMAC(c.ID, n.Object).String()))
	}
	return settings
}

// sameOptions compares options, in any order.
func sameOptions(a, b object) bool {
	as, bs := map[string]string{}, map[string]string{}
	for _, m := range a {
		as[m.name] = string(m.value)
	}
	for _, m := range b {
		bs[m.name] = string(m.value)
	}
	return maps.Equal(as, bs)
}

// wanted is the part of endpoint settings that says what is wanted; the rest
// says what was. Aliases are those of the person: the engine adds its own.
func wanted(settings object) object {
	var out object
	for _, m := range settings {
		if slices.Contains([]string{"IPAMConfig", "Links", "Aliases", "DriverOpts", "GwPriority"}, m.name) {
			out = append(out, m)
		}
	}
	for _, o := range settings.options() {
		switch o.name {
		case optionMAC:
			out.set("MacAddress", o.value)
		case optionAliases:
			var aliases string
			_ = json.Unmarshal(o.value, &aliases)
			out.set("Aliases", encode(strings.Split(aliases, ",")))
		}
	}
	return out
}
