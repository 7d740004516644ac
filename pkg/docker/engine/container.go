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

// Container is a container of the engine.
type Container struct {
	ID      string
	Name    string
	Running bool
	// Pid is that of the first process, and Netns the path of its network
	// namespace, of a container that runs.
	Pid   int
	Netns string
	// Endpoints are the engine's ids of its endpoints on our networks, by the
	// network's id. That of one that does not run is empty.
	Endpoints map[string]string
}

// containerState is the engine's answer about a container.
type containerState struct {
	ID    string `json:"Id"`
	Name  string
	State struct {
		Running bool
		Pid     int
	}
	NetworkSettings struct {
		SandboxKey string
		Networks   map[string]json.RawMessage
	}
}

// shadows are the names of the shadows that the container is on.
func (c containerState) shadows() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c.NetworkSettings.Networks)) {
		if strings.HasPrefix(name, shadowPrefix) {
			out = append(out, name)
		}
	}
	return out
}

// Container finds a container by its name, its id, or the beginning of its id.
func (e *Engine) Container(ctx context.Context, ref string) (Container, error) {
	var c containerState
	if err := e.call(ctx, http.MethodGet, "/containers/"+url.PathEscape(ref)+"/json", nil, nil, &c); err != nil {
		return Container{}, err
	}
	shadows, err := e.lookAtShadows(ctx)
	if err != nil {
		return Container{}, err
	}
	out := Container{
		ID: c.ID, Name: strings.TrimPrefix(c.Name, "/"), Running: c.State.Running,
		Pid: c.State.Pid, Netns: c.NetworkSettings.SandboxKey,
		Endpoints: endpoints(c.NetworkSettings.Networks, shadows),
	}
	return out, nil
}

func endpoints(networks map[string]json.RawMessage, shadows []shadow) map[string]string {
	out := map[string]string{}
	for _, s := range shadows {
		if settings, on := networks[s.name]; on {
			out[s.network] = endpointOf(settings)
		}
	}
	return out
}

// Containers are all containers on our networks that run, without their
// processes and namespaces.
func (e *Engine) Containers(ctx context.Context) ([]Container, error) {
	shadows, err := e.lookAtShadows(ctx)
	if err != nil {
		return nil, err
	}
	var list []struct {
		ID              string `json:"Id"`
		Names           []string
		NetworkSettings struct{ Networks map[string]json.RawMessage }
	}
	if err := e.call(ctx, http.MethodGet, "/containers/json", nil, nil, &list); err != nil {
		return nil, err
	}
	var out []Container
	for _, c := range list {
		on := endpoints(c.NetworkSettings.Networks, shadows)
		if len(on) == 0 {
			continue
		}
		out = append(out, Container{ID: c.ID, Name: ownName(c.Names), Running: true, Endpoints: on})
	}
	return out, nil
}

// ownName is a container's own name: those that links give it have a second slash.
func ownName(names []string) string {
	for _, name := range names {
		if name = strings.TrimPrefix(name, "/"); !strings.Contains(name, "/") {
			return name
		}
	}
	return ""
}

// ID names the engine for as long as it keeps its networks.
func (e *Engine) ID(ctx context.Context) (string, error) {
	var info struct{ ID string }
	err := e.call(ctx, http.MethodGet, "/info", nil, nil, &info)
	return info.ID, err
}

// Versions are the newest and the oldest version of the API that the engine has.
func (e *Engine) Versions(ctx context.Context) (newest, oldest string, err error) {
	var v struct{ APIVersion, MinAPIVersion string }
	err = e.call(ctx, http.MethodGet, "/version", nil, nil, &v)
	return v.APIVersion, v.MinAPIVersion, err
}
