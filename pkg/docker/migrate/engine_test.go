// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/vas-solutus/arca-network/internal/dockertest"
)

func TestMain(m *testing.M) { dockertest.Main(m) }

// TestRealEngine: what a real engine answers and what its client writes is read
// alike, and all of it can be declared.
func TestRealEngine(t *testing.T) {
	e := dockertest.Start(t, dockertest.Options{})
	e.Docker(t, "network", "create", "--subnet", "10.77.0.0/24", "--ip-range", "10.77.0.128/25", "--aux-address", "printer=10.77.0.9",
		"--label", "app=shop", "--label", "tier=", "-o", "com.docker.network.driver.mtu=1400", "--attachable", "shop")
	e.Docker(t, "network", "create", "--internal", "--ipv6", "inner")
	e.Docker(t, "network", "create", "--config-only", "--subnet", "10.78.0.0/24", "settings")
	e.Docker(t, "network", "create", "--config-from", "settings", "configured")

	live, err := FromEngine(context.Background(), e.Host)
	if err != nil {
		t.Fatal(err)
	}
	inspected := read(t, e.Docker(t, append([]string{"network", "inspect"}, strings.Fields(e.Docker(t, "network", "ls", "-q"))...)...))
	byName := func(a, b Source) int { return cmp.Compare(a.Request.Name, b.Request.Name) }
	slices.SortFunc(live, byName)
	slices.SortFunc(inspected, byName)
	if diff := gocmp.Diff(live, inspected, gocmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), gocmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("the engine's answer and docker network inspect: %s", diff)
	}
	plan := Plan(live, nil)
	got := actions(plan)
	slices.Sort(got)
	if want := "create configured, create inner, create settings, create shop, skip bridge, skip host, skip none"; strings.Join(got, ", ") != want {
		t.Errorf("got %v, want %s; %+v", got, want, plan)
	}

	for _, arguments := range [][]string{{"--no-trunc"}, nil} {
		listed := read(t, e.Docker(t, append([]string{"network", "ls", "--format", "json"}, arguments...)...))
		slices.SortFunc(listed, byName)
		if len(listed) != len(live) {
			t.Fatalf("%d and %d networks", len(listed), len(live))
		}
		for i, l := range listed {
			full := live[i]
			same := l.ID == full.ID || arguments == nil && short(l.ID) == short(full.ID)
			if !same || l.Request.Name != full.Request.Name || l.Request.Driver != full.Request.Driver || l.Request.Internal != full.Request.Internal ||
				*l.Request.EnableIPv6 != *full.Request.EnableIPv6 || l.Created.Unix() != full.Created.Unix() || len(l.Request.Labels) != len(full.Request.Labels) {
				t.Errorf("%+v of a list, %+v of the engine", l, full)
			}
		}
	}
}
