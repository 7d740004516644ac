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
	renameContainer
	watchEvents
	buildImage
	connectContainer
	disconnectContainer
	askNetworks
	askWhoIsThere
)

// route is one form of requests. The name or ID of a container or a network is
// the pattern's group, and may have slashes in it, as the engine's own routes have it.
type route struct {
	method  string
	pattern *regexp.Regexp
	action  action
}

const anyMethod = ""

var (
	version = regexp.MustCompile(`^(/v[0-9][0-9.]*)(/.*)$`)

	routes = []route{
		{http.MethodPost, regexp.MustCompile(`^/containers/create$`), createContainer},
		{http.MethodGet, regexp.MustCompile(`^/containers/json$`), listContainers},
		{http.MethodGet, regexp.MustCompile(`^/containers/(.+)/json$`), inspectContainer},
		{http.MethodPost, regexp.MustCompile(`^/containers/(.+)/(?:start|restart)$`), startContainer},
		{http.MethodPost, regexp.MustCompile(`^/containers/(.+)/rename$`), renameContainer},
		{http.MethodPost, regexp.MustCompile(`^/networks/(.+)/connect$`), connectContainer},
		{http.MethodPost, regexp.MustCompile(`^/networks/(.+)/disconnect$`), disconnectContainer},
		{anyMethod, regexp.MustCompile(`^/networks(?:/.*)?$`), askNetworks},
		{http.MethodGet, regexp.MustCompile(`^/events$`), watchEvents},
		{anyMethod, regexp.MustCompile(`^/(?:_ping|version|info)$`), askWhoIsThere},
		{http.MethodPost, regexp.MustCompile(`^/build$`), buildImage},
		{http.MethodPost, regexp.MustCompile(`^/containers/(.+)/attach$`), tunnelled},
		{http.MethodPost, regexp.MustCompile(`^/exec/(.+)/start$`), tunnelled},
	}
)

// split splits off the version that a path may begin with.
func split(path string) (prefix, rest string) {
	if m := version.FindStringSubmatch(path); m != nil {
		return m[1], m[2]
	}
	return "", path
}

// recognise tells what a request is, and of which container or network.
func recognise(r *http.Request) (a action, of string) {
	_, path := split(r.URL.Path)
	for _, route := range routes {
		if r.Method != route.method && route.method != anyMethod {
			continue
		}
		if m := route.pattern.FindStringSubmatch(path); m != nil {
			if len(m) > 1 {
				of = m[1]
			}
			return route.action, of
		}
	}
	if r.Header.Get("Upgrade") != "" {
		return tunnelled, ""
	}
	return passOn, ""
}
