// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"net"
	"strings"
	"testing"
)

// TestStartAgain: what a container needs was not there when it was started first, and
// is when it is started again.
func TestStartAgain(t *testing.T) {
	w := newWorld(t)
	docker, try := w.front()
	refused := func(text string, args ...string) {
		t.Helper()
		if out, err := try(args...); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("docker %s: %v %s; want an error with %q", strings.Join(args, " "), err, out, text)
		}
	}
	docker("network", "create", "n1")
	busy, err := net.Listen("tcp", ":8080")
	if err != nil {
		t.Fatal(err)
	}
	docker(with([]string{"create", "--name", "c1", "--network", "n1", "-p", "8080:80"}, serve("c1")...)...)
	refused("listens on 8080", "start", "c1")
	_ = busy.Close()
	docker("start", "c1")
	w.published("127.0.0.1:8080", "c1")
	docker("rm", "-f", "c1")
	w.mustAgree()

	// The network of before had the same subnet.
	subnet := docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "n1")
	docker("create", "--name", "c2", "--network", "n1", image, "sleep", "1000")
	docker("network", "rm", "n1")
	refused("network n1 not found", "start", "c2")
	docker("network", "create", "--subnet", subnet, "n1")
	docker("start", "c2")
	docker("run", "--rm", "--network", "n1", image, "ping", "-c", "1", "c2")
	if got, want := docker("inspect", "-f", "{{.NetworkSettings.Networks.n1.NetworkID}} {{.HostConfig.NetworkMode}}", "c2"), docker("network", "inspect", "-f", "{{.Id}} n1", "n1"); got != want {
		t.Errorf("c2 is on %s, want %s", got, want)
	}
	docker("restart", "-t", "0", "c2")
	docker("rm", "-f", "c2")

	refused(`port 80/tcp cannot be published at host address "::": network n1 `, "run", "--rm", "--network", "n1", "-p", "[::]:8081:80", image, "true")
	docker("network", "rm", "n1")
	w.mustAgree()
}
