// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dockertest

import (
	"bytes"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
)

// Image is in every engine that Start starts: busybox and nothing else.
const Image = "arca-test:latest"

// importImage makes Image of the machine's own busybox; nothing is pulled.
func (e *Engine) importImage() error {
	root, err := repository()
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	cmd := exec.Command(filepath.Join(root, "hack", "docker-image.sh"))
	cmd.Stderr = &stderr
	archive, err := cmd.Output()
	if err != nil {
		return &imageError{err, stderr.String()}
	}
	q := url.Values{"fromSrc": {"-"}, "repo": {"arca-test"}, "tag": {"latest"}, "changes": {`CMD ["sh"]`}}
	return e.do(http.MethodPost, "/images/create?"+q.Encode(), "application/x-tar", bytes.NewReader(archive), nil)
}

type imageError struct {
	err    error
	stderr string
}

func (e *imageError) Error() string {
	return "hack/docker-image.sh: " + e.err.Error() + ": " + e.stderr
}
func (e *imageError) Unwrap() error { return e.err }
