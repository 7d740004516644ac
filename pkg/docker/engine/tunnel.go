// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
)

// tunnel hands on a request whose connection may become a stream in both
// directions: by "101 Switching Protocols", or by a 200 with a raw stream, which
// is what clients get that ask for no upgrade. Any other answer is passed on as one.
func (e *Engine) tunnel(w http.ResponseWriter, r *http.Request) {
	engine, err := e.dial(r.Context())
	if err != nil {
		e.refuse(w, r, err)
		return
	}
	defer engine.Close()
	// Until the client's connection is taken over, its end is this context's.
	stop := context.AfterFunc(r.Context(), func() { _ = engine.Close() })
	defer stop()

	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.Host = "http", engineHost, engineHost
	out.Header.Del("Expect") // the server has asked for the body already
	if _, given := out.Header["User-Agent"]; !given {
		out.Header.Set("User-Agent", "") // none
	}
	if err := out.Write(engine); err != nil {
		e.refuse(w, r, fmt.Errorf("sending the request: %w", err))
		return
	}
	from := bufio.NewReader(engine)
	answer, err := http.ReadResponse(from, out)
	if err != nil {
		e.refuse(w, r, fmt.Errorf("reading the answer: %w", err))
		return
	}
	defer answer.Body.Close()
	if !isStream(answer) {
		passAnswer(w, answer)
		return
	}

	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		e.refuse(w, r, fmt.Errorf("taking over the connection: %w", err))
		return
	}
	defer client.Close()
	stop()
	if err := writeHead(client, answer); err != nil {
		e.log.V(1).Info("A client went before its stream began", "path", r.URL.Path, "error", err.Error())
		return
	}
	join(end{client, buffered.Reader}, end{engine, from})
}

// isStream tells whether an answer turns its connection into a raw stream.
func isStream(answer *http.Response) bool {
	if answer.StatusCode == http.StatusSwitchingProtocols {
		return true
	}
	kind := answer.Header.Get("Content-Type")
	return answer.StatusCode == http.StatusOK && answer.ContentLength < 0 && len(answer.TransferEncoding) == 0 &&
		(strings.HasPrefix(kind, "application/vnd.docker.raw-stream") || strings.HasPrefix(kind, "application/vnd.docker.multiplexed-stream"))
}

// writeHead writes an answer's status line and headers as they were read.
func writeHead(w io.Writer, answer *http.Response) error {
	var head strings.Builder
	fmt.Fprintf(&head, "HTTP/1.1 %s\r\n", answer.Status)
	if answer.StatusCode != http.StatusSwitchingProtocols && answer.Header.Get("Connection") == "" {
		// A stream ends with its connection; the reader took this header for itself.
		answer.Header.Set("Connection", "close")
	}
	if err := answer.Header.Write(&head); err != nil {
		return err
	}
	head.WriteString("\r\n")
	_, err := io.WriteString(w, head.String())
	return err
}

// passAnswer passes on an answer that is no stream.
func passAnswer(w http.ResponseWriter, answer *http.Response) {
	maps.Copy(w.Header(), answer.Header)
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(flushing{w, http.NewResponseController(w)}, answer.Body)
}

// flushing flushes each write.
type flushing struct {
	io.Writer
	controller *http.ResponseController
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil {
		err = f.controller.Flush()
	}
	return n, err
}
