// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vas-solutus/arca-network/internal/dockertest"
)

const image = dockertest.Image

// serve is a command that says a name to whoever connects to port 80.
func serve(name string) []string {
	return []string{image, "nc", "-ll", "-p", "80", "-e", "echo", name}
}

func with(args []string, more ...string) []string { return append(args, more...) }

// TestStockEngine: what a person does with an engine and the driver.
func TestStockEngine(t *testing.T) {
	w := newWorld(t)
	w.run("network", "create", "-d", "arca", "--ipam-driver", "arca", "n1")
	w.run("network", "create", "-d", "arca", "--ipam-driver", "arca", "--subnet", "10.88.0.0/24", "--ip-range", "10.88.0.128/25", "--aux-address", "x=10.88.0.129", "n2")
	if got := w.inspect("n1", "{{(index .IPAM.Config 0).Subnet}}"); !strings.HasPrefix(got, "172.") {
		t.Errorf("n1 has subnet %s, want a chosen one", got)
	}
	w.mustAgree()

	w.run(with([]string{"run", "-d", "--name", "c1", "--network", "n2", "--ip", "10.88.0.50", "-p", "8080:80", "-p", "127.0.0.1:8081:80"}, serve("c1")...)...)
	w.run(with([]string{"run", "-d", "--name", "c2", "--network", "n2", "-p", "80"}, serve("c2")...)...)
	w.mustAgree()
	if got := w.inspect("c2", "{{.NetworkSettings.Networks.n2.IPAddress}}"); got != "10.88.0.128" {
		t.Errorf("c2 has %s, want the first of the range", got)
	}
	w.run("exec", "c2", "ping", "-c", "1", "c1") // the engine's own DNS
	w.run("exec", "c1", "ping", "-c", "1", "c2")
	w.published("127.0.0.1:8080", "c1")
	w.published("127.0.0.1:8081", "c1")
	route := w.run("exec", "c1", "ip", "route")
	if !strings.Contains(route, "default via 10.88.0.1 dev eth0") {
		t.Errorf("c1 has routes\n%s\nwant the network's gateway", route)
	}
	if got := w.run("network", "ls", "--filter", "name=docker_gwbridge", "-q"); got != "" {
		t.Error("the engine gave the container another way out")
	}
	w.refuses("Address already in use", "run", "--rm", "--network", "n2", "--ip", "10.88.0.50", image, "true")
	w.refuses("8080", "run", "--rm", "--network", "n2", "-p", "8080:80", image, "true")
	busy, err := net.Listen("tcp", ":8099")
	if err != nil {
		t.Fatal(err)
	}
	w.refuses("listens on 8099", "run", "--rm", "--network", "n2", "-p", "8099:80", image, "true")
	_ = busy.Close()
	w.refuses("Pool overlaps with other one", "network", "create", "-d", "arca", "--ipam-driver", "arca", "--subnet", "10.88.0.0/16", "n9")
	w.mustAgree()

	// Hot.
	w.run("network", "connect", "n1", "c1")
	w.run("run", "-d", "--name", "c3", "--network", "n1", image, "sleep", "1000")
	w.run("exec", "c3", "ping", "-c", "1", "c1")
	w.mustAgree()
	w.run("network", "disconnect", "n1", "c1")
	if out, err := w.engine.DockerAt(t.Context(), w.engine.Host, "exec", "c3", "ping", "-c", "1", "-W", "1", "c1"); err == nil {
		t.Errorf("c1 answers after it was disconnected: %s", out)
	}
	w.mustAgree()

	w.run("restart", "-t", "0", "c1")
	w.mustAgree()
	if got := w.inspect("c1", "{{.NetworkSettings.Networks.n2.IPAddress}}"); got != "10.88.0.50" {
		t.Errorf("c1 has %s after a restart, want the same", got)
	}
	w.published("127.0.0.1:8080", "c1")
	w.run("rm", "-f", "c1", "c2", "c3")
	w.unpublished("127.0.0.1:8080")
	w.mustAgree()
	w.run("network", "rm", "n1", "n2")
	w.mustAgree()
}

// TestOptions: kinds of networks, and other IPAM drivers.
func TestOptions(t *testing.T) {
	w := newWorld(t)
	w.run("network", "create", "-d", "arca", "--ipam-driver", "arca", "--internal", "-o", "com.docker.network.driver.mtu=1400", "inside")
	routes := w.run("run", "--rm", "--network", "inside", image, "sh", "-c", "ip route; cat /sys/class/net/eth0/mtu; ls /sys/class/net")
	if strings.Contains(routes, "default") || !strings.Contains(routes, "1400") || strings.Contains(routes, "eth1") {
		t.Errorf("a container of an internal network has\n%s\nwant no default route, MTU 1400 and one interface", routes)
	}
	w.run("network", "create", "-d", "arca", "--ipam-driver", "arca", "--ipv6", "--subnet", "10.89.0.0/24", "--subnet", "fd00:89::/64", "both")
	w.run("run", "-d", "--name", "six", "--network", "both", "--ip6", "fd00:89::77", image, "sleep", "1000")
	w.run("run", "--rm", "--network", "both", image, "ping", "-6", "-c", "1", "fd00:89::77")
	w.mustAgree()

	w.run("network", "create", "-d", "arca", "--subnet", "10.90.0.0/24", "theirs") // the engine's own IPAM
	w.run("run", "-d", "--name", "t1", "--network", "theirs", image, "sleep", "1000")
	w.run("run", "--rm", "--network", "theirs", image, "ping", "-c", "1", "t1")
	w.run("network", "create", "-d", "arca", "--ipam-driver", "null", "none1")
	w.run("run", "--rm", "--network", "none1", image, "ip", "-4", "addr", "show", "eth0")
	w.mustAgree()

	w.refuses("is not supported by driver arca", "network", "create", "-d", "arca", "--ipam-driver", "arca", "-o", "foo=bar", "bad")
	w.run("network", "create", "-d", "bridge", "--ipam-driver", "arca", "--subnet", "10.91.0.0/24", "bridged")
	w.refuses("goes only with it", "run", "--rm", "--network", "bridged", image, "true")
	w.run("rm", "-f", "six", "t1")
	w.run("network", "rm", "inside", "both", "theirs", "none1", "bridged")
	w.mustAgree()
}

const project = `
services:
  web:
    image: %[1]s
    command: ["nc", "-ll", "-p", "80", "-e", "echo", "web"]
    ports: ["8090:80"]
    networks: [front, back]
  db:
    image: %[1]s
    command: ["sleep", "1000"]
    networks:
      back: {aliases: [store]}
networks:
  front: {driver: arca, ipam: {driver: arca}}
  back: {driver: arca, ipam: {driver: arca}, internal: true}
`

// composeFile writes a project of the test's image.
func (w *world) composeFile(project string) string {
	w.Helper()
	file := filepath.Join(w.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, project, image), 0o600); err != nil {
		w.Fatal(err)
	}
	return file
}

// TestCompose: a project whose networks say "driver: arca", up, down and up again.
func TestCompose(t *testing.T) {
	w := newWorld(t)
	file := w.composeFile(project)
	compose := func(args ...string) string {
		return w.run(append([]string{"compose", "-p", "p1", "-f", file}, args...)...)
	}
	for range 2 {
		compose("up", "-d")
		w.mustAgree()
		compose("exec", "web", "ping", "-c", "1", "store")
		w.published("127.0.0.1:8090", "web")
		compose("down", "-t", "0")
		w.unpublished("127.0.0.1:8090")
		w.mustAgree()
	}
}
