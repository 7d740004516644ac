// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"strings"
	"testing"

	"github.com/vas-solutus/arca-network/internal/dockertest"
)

// composeProject brings testdata/compose up at a host, asks what its containers
// reach, takes it down and does both once more.
func composeProject(t *testing.T, engine *dockertest.Engine, host string) {
	t.Helper()
	docker := func(args ...string) (string, error) { return engine.DockerAt(t.Context(), host, args...) }
	compose := func(args ...string) (string, error) {
		return docker(append([]string{"compose", "-f", "testdata/compose/compose.yaml"}, args...)...)
	}
	for _, time := range []string{"first", "second"} {
		if out, err := compose("up", "-d", "--wait"); err != nil {
			t.Fatalf("up, the %s time: %v", time, err)
		} else if testing.Verbose() {
			t.Logf("%s", out)
		}
		for _, c := range []struct{ what, says, service, command string }{
			{"a service finds another by name", "app", "web", "wget -q -O - http://app/"},
			{"and by alias", "app", "web", "wget -q -O - http://api/"},
			{"one in both networks reaches both", "db", "app", "wget -q -O - http://db/"},
			{"and those of the other", "shop", "app", "wget -q -O - http://web/"},
			{"a scaled service has two addresses", "2", "app", "nslookup -type=a worker | grep -c 'Address: 10.214.'"},
			{"it reaches the one at a fixed address by alias", "db", "worker", "wget -q -O - http://database/"},
			{"that has the address", "10.214.0.10", "db", "hostname -i"},
			{"an internal network has no way out", "0", "db", "ip route | grep -c ^default || true"},
			{"another has one", "1", "web", "ip route | grep -c ^default"},
			{"a name of another network is none", "unknown", "web", "ping -c 1 db >/dev/null 2>&1 || echo unknown"},
			{"nor is an alias of it", "unknown", "web", "ping -c 1 database >/dev/null 2>&1 || echo unknown"},
			{"nor is its address reached", "no", "web", "ping -c 1 -W 1 10.214.0.10 >/dev/null 2>&1 || echo no"},
		} {
			out, err := compose("exec", "-T", c.service, "sh", "-c", c.command)
			if err != nil || out != c.says {
				t.Errorf("%s, the %s time: %s says %q, want %q (%v)", c.what, time, c.service, out, c.says, err)
			}
		}
		if got := fetch(t, "http://127.0.0.1:18080/"); got != "shop" {
			t.Errorf("the published port says %q, want shop", got)
		}
		if _, err := compose("up", "-d", "--wait", "--no-recreate", "--scale", "worker=3"); err != nil {
			t.Errorf("scaling: %v", err)
		}
		if out, err := compose("ps", "-q", "worker"); err != nil || len(strings.Fields(out)) != 3 {
			t.Errorf("workers are %q (%v), want three", out, err)
		}
		if _, err := compose("down", "-t", "0"); err != nil {
			t.Fatalf("down: %v", err)
		}
		if out, err := docker("network", "ls", "-q", "--filter", "type=custom"); err != nil || out != "" {
			t.Errorf("networks are left: %q (%v)", out, err)
		}
	}
}
