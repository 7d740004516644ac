// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/http"
)

// ServeHTTP serves a request of Docker's API.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch what, _ := recognise(r); what {
	case tunnelled:
		e.tunnel(w, r)
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
