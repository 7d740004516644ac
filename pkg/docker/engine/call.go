// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	// callTimeout bounds what is asked of the engine for the package itself. To
	// connect a running container takes until its interface is ready.
	callTimeout = 60 * time.Second
	// maxAnswer bounds what is read of an answer into memory: some ten thousand containers.
	maxAnswer = 64 << 20
)

// call asks the engine, in its newest version of the API. The path is escaped.
func (e *Engine) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var body io.Reader
	if in != nil {
		body = bytes.NewReader(encode(in))
	}
	target := "http://" + engineHost + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return err
	}
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := e.client.Do(request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer answer.Body.Close()
	if version := answer.Header.Get("Api-Version"); version != "" {
		e.apiVersion.Store(&version)
	}
	data, err := readAnswer(answer.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return refusalOf(answer.StatusCode, data)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not as expected: %w", method, path, err)
	}
	return nil
}

// refusalOf is the engine's own refusal.
func refusalOf(status int, body []byte) *Error {
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &said) != nil || said.Message == "" {
		said.Message = string(bytes.TrimSpace(body))
	}
	return &Error{status, said.Message}
}

func readAnswer(body io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if err == nil && len(data) > maxAnswer {
		err = fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	return data, err
}

// filters is a query with one filter.
func filters(name, value string) url.Values {
	return url.Values{"filters": {string(encode(map[string][]string{name: {value}}))}}
}
