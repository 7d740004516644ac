// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/moby/moby/api/types/common"
)

// maxBody bounds a request. The engine has no bound; the largest that means
// something is a few kilobytes.
const maxBody = 32 << 20

// readJSON reads a request's body, as strictly as the engine does and no more:
// unknown fields are ignored, and no body at all is an empty object.
func readJSON(w http.ResponseWriter, r *http.Request, out any) error {
	contentType := r.Header.Get("Content-Type")
	if contentType != "" || r.ContentLength != 0 {
		media, _, err := mime.ParseMediaType(contentType)
		if err != nil {
			return badRequest("malformed Content-Type header (%s): %v", contentType, err)
		}
		if media != "application/json" {
			return badRequest("unsupported Content-Type header (%s): must be 'application/json'", contentType)
		}
	}
	if r.Body == nil || r.ContentLength == 0 {
		return nil
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	if err := d.Decode(out); errors.Is(err, io.EOF) {
		return badRequest("invalid JSON: got EOF while reading request body")
	} else if err != nil {
		return badRequest("invalid JSON: %v", err)
	}
	if d.More() {
		return badRequest("unexpected content after JSON")
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// writeList answers with a list whose elements are encoded.
func writeList(w http.ResponseWriter, elements [][]byte) error {
	w.Header().Set("Content-Type", "application/json")
	body := append([]byte("["), bytes.Join(elements, []byte(","))...)
	_, err := w.Write(append(body, "]\n"...))
	return err
}

// encodeJSON encodes an element of a list.
func encodeJSON(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// writeError answers an error. Clients of versions before errors were JSON print
// what they get.
func writeError(w http.ResponseWriter, version string, err error) {
	status, message := statusOf(err)
	if version != "" && olderThan(version, MinAPIVersion) {
		http.Error(w, message, status)
		return
	}
	_ = writeJSON(w, status, common.ErrorResponse{Message: message})
}

// parseForm reads a request's parameters; a wrong content type is no matter.
func parseForm(r *http.Request) error {
	if err := r.ParseForm(); err != nil && !strings.HasPrefix(err.Error(), "mime:") {
		return badRequest("%v", err)
	}
	return nil
}
