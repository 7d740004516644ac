// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dockertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Docker runs the docker command against the engine, and fails the test where
// the command fails. Its output comes back without the last line break.
func (e *Engine) Docker(t testing.TB, args ...string) string {
	t.Helper()
	out, err := e.DockerAt(t.Context(), e.Host, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// DockerAt runs the docker command against any host, with this engine's client;
// `docker compose` is part of it.
func (e *Engine) DockerAt(ctx context.Context, host string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	env, err := e.ClientEnvironment(host)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, e.program("docker"), args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("docker %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimRight(string(out), "\n"), err
}

// ClientEnvironment is the environment for scripts that call docker: of this
// engine's client, against any host.
func (e *Engine) ClientEnvironment(host string) ([]string, error) {
	config := filepath.Join(e.dir, "client")
	plugins := filepath.Join(config, "cli-plugins")
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		return nil, err
	}
	plugin := filepath.Join(plugins, "docker-compose")
	if err := os.Symlink(e.program("docker-compose"), plugin); err != nil && !os.IsExist(err) {
		return nil, err
	}
	return e.environment("DOCKER_HOST="+host, "DOCKER_CONFIG="+config), nil
}
