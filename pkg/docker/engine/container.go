// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// containerState is the engine's answer about a container.
type containerState struct {
	ID              string `json:"Id"`
	Name            string
	Config          struct{ Hostname string }
	State           struct{ Running bool }
	NetworkSettings struct{ Networks map[string]json.RawMessage }
}

// container asks for a container by its name, its id, or the beginning of its id.
func (e *Engine) container(ctx context.Context, ref string) (containerState, error) {
	var c containerState
	err := e.call(ctx, http.MethodGet, "/containers/"+url.PathEscape(ref)+"/json", nil, nil, &c)
	c.Name = strings.TrimPrefix(c.Name, "/")
	return c, err
}

// renewal ends the name by which the engine keeps an endpoint's settings while the
// endpoint is made anew. There is no such network: what a container that does not
// run is connected to, the engine looks for when it starts.
const renewal = ".renewed"

// shadows are the names of the shadows that the container is on.
func (c containerState) shadows() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c.NetworkSettings.Networks)) {
		if strings.HasPrefix(name, shadowPrefix) {
			out = append(out, strings.TrimSuffix(name, renewal))
		}
	}
	return slices.Compact(out)
}

// atRest are a container's networks without what is kept to make an endpoint anew,
// unless there is nothing else of it.
func atRest(networks object) object {
	if !slices.ContainsFunc(networks, func(m member) bool { return strings.HasSuffix(m.name, renewal) }) {
		return networks
	}
	var out object
	for _, m := range networks {
		name, kept := strings.CutSuffix(m.name, renewal)
		if kept && strings.HasPrefix(name, shadowPrefix) {
			if networks.get(name) != nil {
				continue
			}
			m.name = name
		}
		out = append(out, m)
	}
	return out
}

// hostname is the container's host name, where it has another than the beginning
// of its id: that everybody knows.
func (c containerState) hostname() string {
	if strings.HasPrefix(c.ID, c.Config.Hostname) {
		return ""
	}
	return c.Config.Hostname
}

// asksGateway tells whether the container's name server is to be its gateway, as
// was said when it was created, and it has no links since.
func (c containerState) asksGateway() bool {
	asks := false
	for _, settings := range c.NetworkSettings.Networks {
		if hasLinks(settings) {
			return false
		}
		if o, _, err := parseObject(settings); err == nil {
			asks = asks || o.options().text(optionResolver) != ""
		}
	}
	return asks
}
