// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
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
