// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"strings"
	"testing"

	"github.com/vas-solutus/arca-network/internal/dockertest"
)

// resolver: a container asks the gateway of its network for names, whatever
// becomes of its networks; or whom its user has said.
func resolver(t *testing.T, engine *dockertest.Engine, host string) {
	docker := dockerAt(t, engine, host)
	run := func(name string, args ...string) {
		t.Helper()
		docker(append([]string{"run", "-d", "--name", name}, append(args, dockertest.Image, "sleep", "1000")...)...)
	}
	asks := func(container, server string) {
		t.Helper()
		conf := docker("exec", container, "cat", "/etc/resolv.conf")
		var servers []string
		for line := range strings.Lines(conf) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
				servers = append(servers, f[1])
			}
		}
		if len(servers) != 1 || servers[0] != server {
			t.Errorf("%s asks %v, want %s; its resolv.conf is\n%s", container, servers, server, conf)
		}
	}
	finds := func(container, name, address string) {
		t.Helper()
		if out := docker("exec", container, "ping", "-c", "1", name); !strings.Contains(out, "("+address+")") {
			t.Errorf("%s finds by %s\n%s\nwant %s", container, name, out, address)
		}
	}
	const own = "127.0.0.11" // of the engine
	docker("network", "create", "--subnet", "10.215.0.0/24", "front")
	docker("network", "create", "--subnet", "10.216.0.0/24", "--internal", "back")
	docker("network", "create", "--subnet", "10.217.0.0/24", "side")
	run("web", "--network", "front", "--ip", "10.215.0.20", "--network-alias", "alias", "--hostname", "hosted")
	run("db", "--network", "back", "--ip", "10.216.0.20", "--network-alias", "store")
	run("other", "--network", "side", "--ip", "10.217.0.20")
	run("c1", "--network", "front", "--dns-search", "a.example")
	asks("web", "10.215.0.1")
	asks("db", own) // it has no way out, and nobody there to ask
	asks("c1", "10.215.0.1")
	if conf := docker("exec", "c1", "cat", "/etc/resolv.conf"); !strings.Contains(conf, "search a.example\n") || !strings.Contains(conf, "ndots:0") {
		t.Errorf("resolv.conf is\n%s\nwant the search domain", conf)
	}
	id := docker("inspect", "-f", "{{.Id}}", "web")
	for _, name := range []string{"web", "alias", "hosted", id[:12], "web.front"} {
		finds("c1", name, "10.215.0.20")
	}

	t.Run("networks come and go", func(t *testing.T) {
		docker("network", "connect", "back", "c1")
		asks("c1", "10.215.0.1")
		finds("c1", "store", "10.216.0.20")
		finds("c1", "web", "10.215.0.20")
		docker("network", "disconnect", "front", "c1")
		asks("c1", own)
		finds("c1", "db", "10.216.0.20")
		docker("network", "connect", "side", "c1")
		asks("c1", "10.217.0.1")
		finds("c1", "other", "10.217.0.20")
		finds("c1", "store", "10.216.0.20")
		docker("restart", "-t", "0", "c1")
		asks("c1", "10.217.0.1")
		finds("c1", "other", "10.217.0.20")
		finds("c1", "store", "10.216.0.20")
		docker("network", "disconnect", "back", "c1")
		asks("c1", "10.217.0.1")
		finds("c1", "other", "10.217.0.20")
	})
	t.Run("renamed", func(t *testing.T) {
		docker("rename", "other", "another")
		finds("c1", "another", "10.217.0.20")
	})
	t.Run("a person's own", func(t *testing.T) {
		run("named", "--network", "front", "--dns", "192.0.2.53")
		asks("named", own)
		finds("named", "web", "10.215.0.20")
		run("linked", "--network", "front", "--link", "web:database")
		asks("linked", own)
		finds("linked", "database", "10.215.0.20")
		docker("exec", "c1", "sh", "-c", "echo nameserver 192.0.2.9 >/etc/resolv.conf")
		docker("network", "connect", "front", "c1")
		docker("network", "disconnect", "side", "c1")
		asks("c1", "192.0.2.9")
	})
	docker("rm", "-f", "web", "db", "another", "c1", "named", "linked")
	docker("network", "rm", "front", "back", "side")
}
