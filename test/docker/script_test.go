// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/vas-solutus/arca-network/internal/dockertest"
)

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
