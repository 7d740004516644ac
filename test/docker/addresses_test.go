// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"testing"

	"github.com/vas-solutus/arca-network/internal/dockertest"
)

// addresses: a container that is started again has the addresses that it had, by
// itself and when others have come meanwhile.
func addresses(t *testing.T, engine *dockertest.Engine, host string) {
	docker := dockerAt(t, engine, host)
	run := func(name string) {
		t.Helper()
		docker("run", "-d", "--name", name, "--network", "stable", dockertest.Image, "sleep", "1000")
	}
	has := func(name string) string {
		t.Helper()
		return docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}} {{.MacAddress}}{{end}}", name)
	}
	docker("network", "create", "--ipv6", "stable")
	run("first")
	run("second")
	before := has("first")
	again := func(what, after string) {
		t.Helper()
		if after != before {
			t.Errorf("%s it has %s, want %s", what, after, before)
		}
	}
	docker("restart", "-t", "0", "first")
	again("restarted", has("first"))
	docker("stop", "-t", "0", "first")
	run("third")
	docker("start", "first")
	again("started after another has come", has("first"))
	docker("rm", "-f", "first", "second", "third")
	docker("network", "rm", "stable")
}
