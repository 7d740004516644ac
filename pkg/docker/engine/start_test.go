// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// severed is the way of a proxy to its engine, which ends after some steps by
// which containers change their networks. Then all breaks off, as it does for an
// engine whose proxy is killed: before a step has reached it, or before its answer
// has come back.
type severed struct {
	http.RoundTripper
	steps    atomic.Int32
	answered atomic.Bool
}

// never is more steps than there are.
const never = 1000

func (s *severed) RoundTrip(r *http.Request) (*http.Response, error) {
	isStep := r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/networks/")
	left := s.steps.Load()
	if isStep {
		left = s.steps.Add(-1) + 1
	}
	switch {
	case left > 0 || !isStep && left == 0:
		return s.RoundTripper.RoundTrip(r)
	case isStep && left == 0 && s.answered.Load():
		if answer, err := s.RoundTripper.RoundTrip(r); err == nil {
			_ = answer.Body.Close()
		}
	}
	return nil, fmt.Errorf("severed at %s %s", r.Method, r.URL.Path)
}

// A container whose endpoint is made anew before its start keeps its network, its
// addresses and its names, whenever the proxy is killed over it.
func TestKilledWhilePreparing(t *testing.T) {
	r := newRig(t)
	for cut := range 8 {
		name := fmt.Sprintf("c%d", cut)
		r.sh(t, "docker create --name "+name+" --network web --ip 10.88.0.9 --mac-address 02:42:00:00:00:09 --network-alias a1 arca-test sleep 1000")
		r.way.answered.Store(cut%2 == 1)
		r.way.steps.Store(int32(cut / 2))
		out, err := r.try(t, "docker start "+name)
		r.way.steps.Store(never)
		if err == nil {
			t.Fatalf("after %d steps it was not severed: %s", cut/2, out)
		}
		networks := "docker inspect -f '{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{end}}' " + name
		r.says(t, networks, "web ")
		r.says(t, "docker ps -a --format '{{.Networks}}'", "web")
		r.says(t, "docker start "+name, name)
		r.says(t, "docker inspect -f '{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{$e.IPAddress}} {{$e.MacAddress}} {{$e.Aliases}}{{end}}' "+name,
			"web 10.88.0.9 02:42:00:00:00:09 [a1]")
		if got := r.Docker(t, "inspect", "-f", "{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{end}}", name); got != shadowName(r.networks.list[1].ID)+" " {
			t.Errorf("cut at %d: in the engine it is on %s", cut, got)
		}
		r.sh(t, "docker rm -f "+name)
	}
}

// A container that has never been on its network finds it by its name when it is
// started, as in an engine, whenever the proxy is killed over it; one that has been
// there does not.
func TestNetworkMadeAgain(t *testing.T) {
	r := newRig(t)
	remade := 0
	remake := func(t *testing.T) Network {
		t.Helper()
		remade++
		r.networks.remove("web")
		n := Network{
			ID: fmt.Sprintf("e%d", remade) + strings.Repeat("5", 62), Name: "web", Object: fmt.Sprintf("web-%d", remade), Driver: "bridge",
			Subnets: []Subnet{{fmt.Sprintf("10.88.%d.0/24", remade), fmt.Sprintf("10.88.%d.1", remade)}},
		}
		r.networks.Lock()
		r.networks.list = append(r.networks.list, n)
		r.networks.Unlock()
		if err := r.proxy.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		return n
	}
	inEngine := func(t *testing.T, name string, on ...string) {
		t.Helper()
		want := strings.Join(on, " ")
		if got := strings.TrimSpace(r.Docker(t, "inspect", "-f", "{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{end}}", name)); got != want {
			t.Errorf("in the engine %s is on %q, want %q", name, got, want)
		}
	}
	for cut := range 8 {
		name := fmt.Sprintf("c%d", cut)
		r.sh(t, "docker create --name "+name+" --network web --mac-address 02:42:00:00:00:09 --network-alias a1 arca-test sleep 1000")
		web := remake(t)
		r.way.answered.Store(cut%2 == 1)
		r.way.steps.Store(int32(cut / 2))
		_, err := r.try(t, "docker start "+name)
		r.way.steps.Store(never)
		if severed := cut < 6; (err != nil) != severed {
			t.Errorf("started after %d steps: %v", cut/2, err)
		}
		r.says(t, "docker ps -a --filter name="+name+" --format '{{.Networks}}' | sort -u | tr ',' '\n' | sort -u", "web")
		r.says(t, "docker start "+name, name)
		r.says(t, "docker inspect -f '{{.HostConfig.NetworkMode}} {{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{$e.NetworkID}} {{$e.IPAddress}} {{$e.MacAddress}} {{$e.Aliases}}{{end}}' "+name,
			fmt.Sprintf("web web %s 10.88.%d.2 02:42:00:00:00:09 [a1]", web.ID, remade))
		inEngine(t, name, shadowName(web.ID))
		// Its old shadow is kept for it, and goes with it.
		if err := r.proxy.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.says(t, "docker restart -t 0 "+name, name)
		remake(t)
		r.sh(t, "docker stop -t 0 "+name)
		if out, err := r.try(t, "docker start "+name); err == nil || !strings.Contains(out, "network "+web.ID+" not found") {
			t.Errorf("one that was on it: %s %v", out, err)
		}
		r.sh(t, "docker rm -f "+name)
		if err := r.proxy.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.Docker(t, "network", "ls", "--filter", "label="+labelID, "-q"); got != "" {
			t.Errorf("shadows are left: %s", got)
		}
	}
}

// An engine takes a container off the network whose turn it was when a start failed,
// and would start it without that from then on.
func TestRefusedStartKeepsNetworks(t *testing.T) {
	r := newRig(t)
	networks := func(name string) string {
		return "docker inspect -f '{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{$e.Aliases}} {{with $e.IPAMConfig}}{{.IPv4Address}}{{end}} {{end}}' " + name
	}
	busy, err := net.Listen("tcp4", "0.0.0.0:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	refused := func(command string) {
		t.Helper()
		if out, err := r.try(t, command); err == nil || !strings.Contains(out, "address already in use") {
			t.Errorf("%s: %v %s", command, err, out)
		}
	}
	const c1 = "web [a1] 10.88.0.9 "
	r.sh(t, "docker create --name c1 --network web --ip 10.88.0.9 --network-alias a1 -p 8080:80 arca-test sleep 1000; docker create --name c2 -p 8080:80 arca-test sleep 1000")
	r.sh(t, "docker create --name c3 --network web --network db -p 8080:80 arca-test sleep 1000")
	for range 2 {
		refused("docker start c1")
		r.says(t, networks("c1"), c1)
		refused("docker start c2")
		r.says(t, "docker ps -a --filter name=c2 --format '{{.Networks}}'", "bridge")
		refused("docker start c3")
		r.says(t, "docker inspect -f '{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{end}}' c3", "db web ")
	}
	refused("docker run --rm --network web -p 8080:80 arca-test true")
	r.says(t, "docker ps -aq | wc -l", "3")
	_ = busy.Close()
	r.says(t, "docker start c1", "c1")
	r.says(t, networks("c1"), c1)
	if got := r.Docker(t, "port", "c1"); !strings.Contains(got, "80/tcp -> 0.0.0.0:8080") {
		t.Errorf("its ports are %q", got)
	}
	r.says(t, "docker rm -f c1; docker start c3", "c1\nc3")
	r.says(t, "docker exec c3 ls /sys/class/net", "eth0\neth1\nlo")
}
