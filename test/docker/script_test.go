// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vas-solutus/arca-network/internal/dockertest"
)

// TestCompatibilityScript: hack/network-compatibility.sh passes against a real
// engine, so that what it asks of others is true.
func TestCompatibilityScript(t *testing.T) {
	engine := dockertest.Start(t, dockertest.Options{})
	compatibilityScript(t, engine, engine.Host)
}

// compatibilityScript runs the script against a host, with an engine's client.
func compatibilityScript(t *testing.T, engine *dockertest.Engine, host string) {
	t.Helper()
	env, err := engine.ClientEnvironment(host)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../../hack/network-compatibility.sh")
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

// fetch asks this machine for a page.
func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Get(url)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return strings.TrimSpace(string(raw))
}
