// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/http"
)

// InFrontOf serves Docker's API, with the requests about networks themselves, and
// the events of networks, answered by who serves those.
func (e *Engine) InFrontOf(networks http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch what, of := recognise(r); what {
		case tunnelled:
			e.tunnel(w, r)
		case createContainer:
			e.create(w, r)
		case inspectContainer:
			e.inspect(w, r)
		case listContainers:
			e.list(w, r)
		case startContainer:
			e.start(w, r, of)
		case renameContainer:
			e.rename(w, r, of)
		case connectContainer:
			e.orRefused(networks, w, r, func(c containerState) { e.connect(w, r, of, c) })
		case disconnectContainer:
			e.orRefused(networks, w, r, func(containerState) { e.disconnect(w, r, of) })
		case buildImage:
			e.build(w, r)
		case watchEvents:
			e.events(w, r, networks)
		case askNetworks:
			networks.ServeHTTP(w, r)
			if r.Method != http.MethodGet {
				e.surplusNow()
			}
		case askWhoIsThere:
			e.answerOr(networks, w, r)
		default:
			e.handOn(w, r)
		}
	})
}

// answerOr lets the engine say what it is and which versions of the API it
// speaks. Where it is away the networks are still there to be asked for.
func (e *Engine) answerOr(networks http.Handler, w http.ResponseWriter, r *http.Request) {
	conn, err := e.dial(r.Context())
	if err != nil {
		networks.ServeHTTP(w, r)
		return
	}
	_ = conn.Close()
	e.handOn(w, r)
}

// handOn lets the engine answer, unchanged.
func (e *Engine) handOn(w http.ResponseWriter, r *http.Request) {
	// The engine tells its progress while it still reads what is uploaded.
	_ = http.NewResponseController(w).EnableFullDuplex()
	e.pass.ServeHTTP(w, r)
}
