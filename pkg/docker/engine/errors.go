// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Error is a refusal, the engine's or one in its place: a status of HTTP and
// the words that a client of Docker's API shows.
type Error struct {
	Status  int
	Message string
}

func (e *Error) Error() string { return e.Message }

// StatusCode is the status of HTTP to answer with.
func (e *Error) StatusCode() int { return e.Status }

// awayError tells that nobody serves the engine's socket.
type awayError struct {
	socket string
	err    error
}

func (e *awayError) Error() string {
	return fmt.Sprintf("no container engine answers at unix://%s: %v", e.socket, e.err)
}

func (e *awayError) Unwrap() error { return e.err }

// asError makes a refusal of anything that went wrong on the way to the engine.
func (e *Engine) asError(err error) *Error {
	var refusal *Error
	var away *awayError
	var coded interface{ StatusCode() int }
	switch {
	case errors.As(err, &refusal):
		return &Error{refusal.Status, err.Error()}
	case errors.As(err, &away):
		return &Error{http.StatusServiceUnavailable, away.Error()}
	case errors.As(err, &coded):
		return &Error{coded.StatusCode(), err.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{http.StatusGatewayTimeout, fmt.Sprintf("the container engine at unix://%s did not answer in time: %v", e.socket, err)}
	}
	return &Error{http.StatusBadGateway, fmt.Sprintf("the container engine at unix://%s broke off: %v", e.socket, err)}
}

// refuse answers with an error, as the engine's API does.
func (e *Engine) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the client is gone
	}
	refusal := e.asError(err)
	if refusal.Status >= http.StatusInternalServerError {
		e.log.V(1).Info("A request failed on its way to the engine", "method", r.Method, "path", r.URL.Path, "error", err.Error())
	}
	body, _ := json.Marshal(map[string]string{"message": refusal.Message})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(refusal.Status)
	_, _ = w.Write(append(body, '\n'))
}
