// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/http"
)

// ServeHTTP serves a request of Docker's API.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch what, container := recognise(r); what {
	case tunnelled:
		e.tunnel(w, r)
	case createContainer:
		e.create(w, r)
	case inspectContainer:
		e.inspect(w, r)
	case listContainers:
		e.list(w, r)
	case startContainer:
		e.start(w, r, container)
	case watchEvents:
		e.events(w, r)
	case buildImage:
		e.build(w, r)
	default:
		e.handOn(w, r)
	}
}

// handOn lets the engine answer, unchanged.
func (e *Engine) handOn(w http.ResponseWriter, r *http.Request) {
	// The engine tells its progress while it still reads what is uploaded.
	_ = http.NewResponseController(w).EnableFullDuplex()
	e.pass.ServeHTTP(w, r)
}
