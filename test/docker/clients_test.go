// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vas-solutus/arca-network/internal/dockertest"
)

// TestClients: what people do with docker and docker compose works with a real
// engine, so that what is asked of others is true, and with arcad in front of one.
func TestClients(t *testing.T) {
	t.Run("engine", func(t *testing.T) {
		engine := dockertest.Start(t, dockertest.Options{})
		clients(t, engine, engine.Host)
	})
	t.Run("arcad", func(t *testing.T) {
		engine, socket := startArcad(t)
		clients(t, engine, "unix://"+socket)
		t.Run("resolver", func(t *testing.T) { resolver(t, engine, "unix://"+socket) })
		t.Run("addresses", func(t *testing.T) { addresses(t, engine, "unix://"+socket) })
	})
}

// clients uses a host with an engine's clients.
func clients(t *testing.T, engine *dockertest.Engine, host string) {
	t.Run("script", func(t *testing.T) { compatibilityScript(t, engine, host) })
	t.Run("compose", func(t *testing.T) { composeProject(t, engine, host) })
}

// dockerAt is the engine's client at a host. A test ends where it fails.
func dockerAt(t *testing.T, engine *dockertest.Engine, host string) func(args ...string) string {
	return func(args ...string) string {
		t.Helper()
		out, err := engine.DockerAt(t.Context(), host, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
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
