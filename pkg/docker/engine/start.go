// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// start serves the start of a container, or its restart. Where it fails for a
// network that the engine does not have any more, that is made again.
func (e *Engine) start(w http.ResponseWriter, r *http.Request, container string) {
	if err := e.mend(r.Context(), container); err != nil {
		e.refuse(w, r, err)
		return
	}
	e.handOnTo(w, r, nil)
}

// mend makes the shadows again that a container is on and that the engine has
// lost, so that it can be started. The engine remembers a network by its id.
func (e *Engine) mend(ctx context.Context, container string) error {
	var c containerState
	if err := e.call(ctx, http.MethodGet, "/containers/"+url.PathEscape(container)+"/json", nil, nil, &c); err != nil {
		if isNotFound(err) {
			return nil // the engine says so itself
		}
		return err
	}
	names := c.shadows()
	if len(names) == 0 || c.State.Running {
		return nil
	}
	networks, err := e.ours(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		i := slices.IndexFunc(networks, func(n Network) bool { return shadowName(n.ID) == name })
		if i < 0 {
			t := translation{shadows: e.known.all()}
			return &Error{http.StatusNotFound, "network " + t.text(name) + " not found"}
		}
		if err := e.reconnect(ctx, c, name, networks[i]); err != nil {
			return err
		}
	}
	return nil
}

// reconnect connects a container anew to a shadow that is not the one it was
// connected to.
func (e *Engine) reconnect(ctx context.Context, c containerState, name string, n Network) error {
	s, err := e.shadowOf(ctx, n)
	if err != nil {
		return err
	}
	settings, _, err := parseObject(c.NetworkSettings.Networks[name])
	if err != nil {
		settings = object{}
	}
	if was := settings.text("NetworkID"); was == "" || was == s.id {
		return nil
	}
	e.log.Info("Connecting a container anew: the engine had lost its network", "container", c.ID, "network", n.ID)
	if err := e.call(ctx, http.MethodPost, "/networks/"+name+"/disconnect", nil, map[string]any{"Container": c.ID, "Force": true}, nil); err != nil {
		return err
	}
	return e.call(ctx, http.MethodPost, "/networks/"+name+"/connect", nil, object{
		{"Container", encode(c.ID)}, {"EndpointConfig", wanted(settings).encode()},
	}.encode(), nil)
}

// wanted is the part of endpoint settings that says what is wanted; the rest
// says what was.
func wanted(settings object) object {
	var out object
	for _, m := range settings {
		for _, name := range []string{"IPAMConfig", "Links", "Aliases", "MacAddress", "DriverOpts", "GwPriority"} {
			if strings.EqualFold(m.name, name) && string(m.value) != `""` {
				out = append(out, m)
			}
		}
	}
	return out
}
