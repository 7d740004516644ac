// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// front starts arcad with the Docker API, in place of the driver alone, and
// returns a way to run docker there.
func (w *world) front() (docker func(args ...string) string, try func(args ...string) (string, error)) {
	w.Helper()
	w.arcad.kill()
	w.fronted = true
	w.startFront()
	host := "unix://" + w.frontSocket()
	docker = func(args ...string) string {
		w.Helper()
		out, err := w.engine.DockerAt(w.Context(), host, args...)
		if err != nil {
			w.Fatal(err)
		}
		return out
	}
	return docker, func(args ...string) (string, error) { return w.engine.DockerAt(w.Context(), host, args...) }
}

func (w *world) frontSocket() string { return filepath.Join(filepath.Dir(w.socket()), "arca.sock") }

func (w *world) startFront() {
	w.Helper()
	args := []string{"run", "-v", "1", "--listen", "unix://" + w.frontSocket(),
		"--engine", "unix://" + w.socket(), "--plugin-socket", "unix://" + w.driver}
	if w.supervising {
		args = append(args, "--arca-network", filepath.Join(w.bin, "arca-network"), "--control-socket", strings.TrimPrefix(w.target(), "unix://"), "--")
		args = append(args, w.flags()...)
	} else {
		args = append(args, "--target", w.target())
	}
	w.arcad = w.start("arcad", args...)
	w.eventually(func() error {
		conn, err := net.Dial("unix", w.frontSocket())
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
}

// TestDockerAPI: what a person does with arcad's socket and a stock engine
// behind it. Nothing names a driver.
func TestDockerAPI(t *testing.T) {
	w := newWorld(t)
	docker, try := w.front()
	says := func(want string, args ...string) {
		t.Helper()
		if got := docker(args...); got != want {
			t.Errorf("docker %s says\n%s\nwant\n%s", strings.Join(args, " "), got, want)
		}
	}

	// The default network.
	out := docker("run", "--rm", image, "sh", "-c", "ip -4 -o addr show eth0; ip route; cat /etc/resolv.conf")
	gateway := docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "bridge")
	if !strings.Contains(out, "default via "+gateway+" dev eth0") || !strings.Contains(out, "ExtServers: ["+gateway+"]") {
		t.Errorf("a container of the default network has\n%s", out)
	}
	w.mustAgree()

	web := docker("network", "create", "--subnet", "10.88.0.0/24", "web")
	id := docker(with([]string{"run", "-d", "--name", "c1", "--network", "web", "--ip", "10.88.0.50", "--mac-address", "02:42:0a:58:00:32", "--network-alias", "a1", "-p", "8080:80"}, serve("c1")...)...)
	w.mustAgree()
	says("web "+web+" 10.88.0.50 02:42:0a:58:00:32 [a1]", "inspect", "-f", "{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{$e.NetworkID}} {{$e.IPAddress}} {{$e.MacAddress}} {{$e.Aliases}}{{end}}", "c1")
	says("80/tcp -> 0.0.0.0:8080", "port", "c1")
	says("c1 web 0.0.0.0:8080->80/tcp", "ps", "--filter", "network=web", "--format", "{{.Names}} {{.Networks}} {{.Ports}}")
	says(id+" c1 10.88.0.50/24", "network", "inspect", "-f", "{{range $i, $e := .Containers}}{{$i}} {{$e.Name}} {{$e.IPv4Address}}{{end}}", "web")
	w.published("127.0.0.1:8080", "c1")
	docker("run", "--rm", "--network", "web", image, "ping", "-c", "1", "a1")
	// The name server of the network knows it as well.
	docker("run", "--rm", "--network", "web", image, "nslookup", "c1", "10.88.0.1")
	if out, err := try("run", "--rm", image, "ping", "-c", "1", "-W", "1", "10.88.0.50"); err == nil {
		t.Errorf("networks are not apart: %s", out)
	}
	if out, err := try("run", "--rm", "--network", "web", "--ip", "10.88.0.50", image, "true"); err == nil || !strings.Contains(out, "Address already in use") {
		t.Errorf("an address in use: %s %v", out, err)
	}
	if out, err := try("network", "rm", "web"); err == nil || !strings.Contains(out, "has active endpoints") {
		t.Errorf("removing a network in use: %s %v", out, err)
	}

	// Hot.
	docker("network", "create", "db")
	docker("run", "-d", "--name", "c2", "--network", "db", image, "sleep", "1000")
	docker("network", "connect", "--alias", "hot", "db", "c1")
	docker("exec", "c2", "ping", "-c", "1", "hot")
	w.mustAgree()
	docker("network", "disconnect", "db", "c1")
	if out, err := try("exec", "c2", "ping", "-c", "1", "-W", "1", "c1"); err == nil {
		t.Errorf("c1 answers after it was disconnected: %s", out)
	}
	w.mustAgree()
	docker("restart", "-t", "0", "c1")
	says("10.88.0.50", "inspect", "-f", "{{.NetworkSettings.Networks.web.IPAddress}}", "c1")
	w.published("127.0.0.1:8080", "c1")

	// Without IPv4.
	docker("network", "create", "--ipv4=false", "--ipv6", "--subnet", "fd00:88::/64", "six")
	docker("run", "-d", "--name", "c3", "--network", "six", image, "sleep", "1000")
	out = docker("run", "--rm", "--network", "six", image, "sh", "-c", "ip -4 -o addr show eth0; ip -6 route; ping -c 1 c3")
	if strings.Contains(out, "eth0    inet ") || !strings.Contains(out, "default via fd00:88::1 dev eth0") || !strings.Contains(out, "PING c3 (fd00:88::") {
		t.Errorf("a container of an IPv6-only network has\n%s", out)
	}
	w.mustAgree()

	docker("rm", "-f", "c1", "c2", "c3")
	w.unpublished("127.0.0.1:8080")
	docker("network", "rm", "web", "db", "six")
	w.eventually(func() error {
		if left := w.run("network", "ls", "-f", "driver=arca", "--format", "{{.Name}}"); strings.Count(left, "arca-") != 1 {
			return fmt.Errorf("the engine has networks %s, want that of bridge alone", left)
		}
		return nil
	})
	w.mustAgree()
}

const plainProject = `
services:
  web:
    image: %[1]s
    command: ["nc", "-ll", "-p", "80", "-e", "echo", "web"]
    ports: ["8090:80"]
    depends_on: [db]
    networks: [front, back]
    stop_signal: SIGKILL # an engine that starts again waits for what ran
  db:
    image: %[1]s
    command: ["sleep", "1000"]
    networks:
      back: {aliases: [store]}
    stop_signal: SIGKILL
networks:
  front:
  back: {internal: true}
`

// TestPlainCompose: a project without any driver, up, down and up again.
func TestPlainCompose(t *testing.T) {
	w := newWorld(t)
	docker, _ := w.front()
	file := w.composeFile(plainProject)
	compose := func(args ...string) string {
		return docker(append([]string{"compose", "-p", "p1", "-f", file}, args...)...)
	}
	for range 2 {
		compose("up", "-d")
		w.mustAgree()
		compose("exec", "web", "ping", "-c", "1", "store")
		w.published("127.0.0.1:8090", "web")
		web := docker("inspect", "-f", "{{.Id}}", "p1-web-1")
		compose("up", "-d")
		if again := docker("inspect", "-f", "{{.Id}}", "p1-web-1"); again != web {
			t.Error("compose up made a container anew that had not changed")
		}
		compose("down", "-t", "0")
		w.unpublished("127.0.0.1:8090")
		w.mustAgree()
	}
}
