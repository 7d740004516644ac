// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/vas-solutus/arca-network/pkg/docker"
)

// start serves the start of a container, or its restart. Before it the engine
// has all networks of the container, and the driver is told whose they are.
func (e *Engine) start(w http.ResponseWriter, r *http.Request, container string) {
	ready, err := e.prepare(r.Context(), container)
	if err != nil {
		e.refuse(w, r, err)
		return
	}
	made := e.expect(r.Context(), ready.endpoints)
	e.handOnTelling(w, r, nil, func(started bool) {
		made(started)
		if !started {
			e.putBack(r.Context(), ready)
		}
	})
}

// prepared is a container that is ready to be started.
type prepared struct {
	id string // empty where there was nothing to prepare
	// on has its settings on each shadow.
	on map[string]object
	// endpoints are those that it will have, as far as they are known.
	endpoints []Endpoint
}

// prepare makes a container ready that does not run. What its driver is told of it is
// not known when it is created, and its name may have changed since.
func (e *Engine) prepare(ctx context.Context, container string) (prepared, error) {
	c, err := e.container(ctx, container)
	if isNotFound(err) {
		return prepared{}, nil // the engine says so itself
	}
	if err != nil {
		return prepared{}, err
	}
	names := c.shadows()
	if len(names) == 0 || c.State.Running {
		return prepared{}, nil
	}
	out := prepared{id: c.ID, on: map[string]object{}}
	for _, name := range names {
		n, err := e.behind(ctx, name, c)
		if err != nil {
			return prepared{}, err
		}
		settings, err := e.prepareOn(ctx, c, name, n)
		if err != nil {
			return prepared{}, err
		}
		out.on[shadowName(n.ID)] = settings
		if p, ok := expected(n, settings); ok {
			out.endpoints = append(out.endpoints, p)
		}
	}
	return out, nil
}

// putBack puts a container that could not be started back on its networks. The engine
// takes it off the one whose turn it was, and would start it without that next time.
func (e *Engine) putBack(ctx context.Context, p prepared) {
	if p.id == "" {
		return
	}
	// A client that has gone does not leave its container without a network.
	ctx = context.WithoutCancel(ctx)
	c, err := e.container(ctx, p.id)
	if err != nil || c.State.Running {
		if err != nil && !isNotFound(err) { // one that removes itself is gone
			e.log.Error(err, "Cannot see whether a container that could not be started is on its networks still", "container", p.id)
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(p.on)) {
		if _, isOn := c.NetworkSettings.Networks[name]; isOn {
			continue
		}
		err := e.enter(ctx, p.id, name, p.on[name])
		var refusal *Error
		if errors.As(err, &refusal) && (refusal.Status == http.StatusNotFound || refusal.Status == http.StatusConflict) {
			return // it is being removed
		}
		if err != nil {
			e.log.Error(err, "A container that could not be started is not put back on a network; connect it, or it starts without", "container", p.id, "network", name)
		}
	}
}

// behind is the network of ours that a shadow of that name stands for.
func (e *Engine) behind(ctx context.Context, name string, c containerState) (Network, error) {
	ref := strings.TrimPrefix(name, shadowPrefix)
	if s, known := (translation{shadows: e.known.all()}).shadow(name); known {
		ref = s.network // a whole id is found without a look at all networks
	}
	n, err := e.network(ctx, ref)
	if isNotFound(err) || err == nil && shadowName(n.ID) != name {
		return e.namesake(ctx, name, c)
	}
	return n, err
}

// namesake is the network that has the name of one which is gone and whose shadow
// the engine has still. To an engine the network of a container is what has its name,
// until the container has been on it; from then on it is what has its id.
func (e *Engine) namesake(ctx context.Context, name string, c containerState) (Network, error) {
	t := translation{shadows: e.known.all()}
	if _, ok := t.shadow(name); !ok {
		var err error
		if t.shadows, err = e.lookAtShadows(ctx); err != nil {
			return Network{}, err
		}
	}
	ref := name
	if s, ok := t.shadow(name); ok {
		ref = s.label
		if settingsOf(c.NetworkSettings.Networks[name]).text("NetworkID") != "" {
			ref = s.network
		} else if n, err := e.network(ctx, ref); err == nil && n.Name == ref || err != nil && !isNotFound(err) {
			return n, err
		}
	}
	return Network{}, &Error{http.StatusNotFound, "failed to set up container networking: network " + ref + " not found"}
}

// prepareOn prepares a container's endpoint on one shadow, and returns its
// settings. They cannot be changed, so it is made anew where they have to. Meanwhile
// the engine keeps them under another name: who is killed in between begins again there.
func (e *Engine) prepareOn(ctx context.Context, c containerState, name string, n Network) (told object, err error) {
	s, err := e.shadowOf(ctx, n)
	if err != nil {
		return nil, err
	}
	networks := c.NetworkSettings.Networks
	has, isOn := networks[name]
	kept, begun := networks[name+renewal]
	if !begun {
		kept = has
	}
	told = tell(e.withMAC(wanted(settingsOf(kept)), c, n), c, c.asksGateway())
	if s.name != name {
		return told, e.move(ctx, c, name, s.name, told)
	}
	was := settingsOf(has)
	ready := isOn && (was.text("NetworkID") == "" || was.text("NetworkID") == s.id) && sameOptions(told.options(), was.options())
	if ready && !begun {
		return told, nil
	}
	// A client that has gone does not leave its container without a network.
	ctx = context.WithoutCancel(ctx)
	if !begun {
		if err := e.enter(ctx, c.ID, name+renewal, told); err != nil {
			return nil, err
		}
	}
	if !ready && isOn {
		if err := e.leave(ctx, c.ID, name); err != nil {
			return nil, err
		}
	}
	if !ready {
		if err := e.enter(ctx, c.ID, name, told); err != nil {
			return nil, err
		}
	}
	return told, e.leave(ctx, c.ID, name+renewal)
}

// move takes a container that was never on a network from the shadow of one that is
// gone to that of its namesake. In the engine its network mode stays the old shadow,
// which is kept for that (see Sweep): without it the engine starts the container no more.
func (e *Engine) move(ctx context.Context, c containerState, from, to string, told object) error {
	ctx = context.WithoutCancel(ctx)
	networks := c.NetworkSettings.Networks
	if networks[to] == nil { // else it was moved, and who did it was killed
		if err := e.enter(ctx, c.ID, to, told); err != nil {
			return err
		}
	}
	for _, left := range []string{from, from + renewal} {
		if _, isOn := networks[left]; !isOn {
			continue
		}
		if err := e.leave(ctx, c.ID, left); err != nil {
			return err
		}
	}
	return nil
}

// enter connects a container to one of the engine's networks.
func (e *Engine) enter(ctx context.Context, container, network string, settings object) error {
	return e.call(ctx, http.MethodPost, "/networks/"+network+"/connect", nil, object{
		{"Container", encode(container)}, {"EndpointConfig", settings.encode()},
	}.encode(), nil)
}

// leave disconnects a container from one of the engine's networks.
func (e *Engine) leave(ctx context.Context, container, network string) error {
	return e.call(ctx, http.MethodPost, "/networks/"+network+"/disconnect", nil, map[string]any{"Container": container, "Force": true}, nil)
}

func settingsOf(raw json.RawMessage) object {
	settings, _, err := parseObject(raw)
	if err != nil {
		return object{}
	}
	return settings
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
