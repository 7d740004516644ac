// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/http"
	"regexp"
)

// action is what a request is, as far as it concerns networks or the way that
// its connection is used.
type action int

const (
	passOn action = iota
	tunnelled
	createContainer
	inspectContainer
	listContainers
	startContainer
	watchEvents
	buildImage
)

// route is one form of requests. A container's name or ID is the pattern's
// group, and may have slashes in it, as the engine's own routes have it.
type route struct {
	method  string
	pattern *regexp.Regexp
	action  action
}

var (
	version = regexp.MustCompile(`^/v[0-9][0-9.]*(/.*)$`)

	routes = []route{
		{http.MethodPost, regexp.MustCompile(`^/containers/create$`), createContainer},
		{http.MethodGet, regexp.MustCompile(`^/containers/json$`), listContainers},
		{http.MethodGet, regexp.MustCompile(`^/containers/(.+)/json$`), inspectContainer},
		{http.MethodPost, regexp.MustCompile(`^/containers/(.+)/(?:start|restart)$`), startContainer},
		{http.MethodGet, regexp.MustCompile(`^/events$`), watchEvents},
		{http.MethodPost, regexp.MustCompile(`^/build$`), buildImage},
		{http.MethodPost, regexp.MustCompile(`^/containers/(.+)/attach$`), tunnelled},
		{http.MethodPost, regexp.MustCompile(`^/exec/(.+)/start$`), tunnelled},
	}
)

// recognise tells what a request is, and of which container.
func recognise(r *http.Request) (a action, container string) {
	path := r.URL.Path
	if m := version.FindStringSubmatch(path); m != nil {
		path = m[1]
	}
	for _, route := range routes {
		if r.Method != route.method {
			continue
		}
		if m := route.pattern.FindStringSubmatch(path); m != nil {
			if len(m) > 1 {
				container = m[1]
			}
			return route.action, container
		}
	}
	if r.Header.Get("Upgrade") != "" {
		return tunnelled, ""
	}
	return passOn, ""
}
