// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

func TestWithNameServer(t *testing.T) {
	engine, gateway := engineResolver, netip.MustParseAddr("10.88.0.1")
	for _, c := range []struct{ name, was, want string }{
		{"the engine's", "# By the engine.\nnameserver 127.0.0.11\nsearch a.example\noptions edns0 ndots:0\n", "# By the engine.\nnameserver 10.88.0.1\nsearch a.example\noptions edns0 ndots:0\n"},
		{"before the engine wrote its own", "nameserver 10.88.0.1\n", "nameserver 10.88.0.1\noptions ndots:0\n"},
		{"with an option of the person's", "nameserver 127.0.0.11\noptions ndots:3", "nameserver 10.88.0.1\noptions ndots:3"},
		{"a person's", "nameserver 192.0.2.1\n", ""},
		{"a person's beside it", "nameserver 127.0.0.11\nnameserver 192.0.2.1\n", ""},
		{"none", "search a.example\n", ""},
		{"no address", "nameserver x\n", ""},
	} {
		want := c.want
		if want == "" {
			want = c.was
		}
		if got := withNameServer(c.was, []netip.Addr{engine, gateway}, gateway); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, want)
		}
	}
}

// TestResolver: the gateway of the endpoint by which a container reaches the world
// is its name server, for as long as that is so.
func TestResolver(t *testing.T) {
	w := newWorld(t)
	w.engine.folder = t.TempDir()
	file := func(container string) string { return filepath.Join(w.engine.folder, container) }
	said := func(container, want string) {
		t.Helper()
		raw, err := os.ReadFile(file(container))
		if err != nil || !strings.HasPrefix(string(raw), "nameserver "+want+"\n") {
			t.Errorf("container %s has %q (%v), want %s", container, raw, err, want)
		}
	}
	made := func(network, pool, endpoint, mac, container, resolver string) string {
		t.Helper()
		address := w.ok("IpamDriver.RequestAddress", addressRequest(pool, "", mac))["Address"]
		w.ok("NetworkDriver.CreateEndpoint", fmt.Sprintf(`{"NetworkID":%q,"EndpointID":%q,"Interface":{"Address":%q,"MacAddress":%q},
			"Options":{"network.arca.dev/container-id":%q,"network.arca.dev/resolver":%q}}`, network, endpoint, address, mac, container, resolver))
		if err := os.WriteFile(file(container), []byte("nameserver 127.0.0.11\noptions ndots:0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return ids(network, endpoint)
	}
	const program, revoke = "NetworkDriver.ProgramExternalConnectivity", "NetworkDriver.RevokeExternalConnectivity"
	n1, n2 := w.network("n1", "10.88.0.0/24"), w.network("n2", "10.89.0.0/24")
	e1 := made("n1", n1, "e1", mac1, "c1", ResolverGateway)
	e2 := made("n2", n2, "e2", mac2, "c1", ResolverGateway)
	w.ok(program, e1)
	said("c1", "10.88.0.1")
	w.ok(program, e1)
	said("c1", "10.88.0.1")
	// The other takes over.
	w.ok(revoke, e1)
	said("c1", "127.0.0.11")
	w.ok(program, e2)
	said("c1", "10.89.0.1")
	w.ok(revoke, e1) // it is not its gateway that is asked
	said("c1", "10.89.0.1")
	w.ok(revoke, e2)
	said("c1", "127.0.0.11")

	other := made("n1", n1, "e3", "02:42:00:00:00:03", "c2", "")
	w.ok(program, other)
	said("c2", "127.0.0.11")
	// A network without a name server.
	none := false
	w.control.networks["n2"].Dns = &controlpb.NetworkDNS{Enabled: &none}
	quiet := made("n2", n2, "e5", "02:42:00:00:00:05", "c4", ResolverGateway)
	w.ok(program, quiet)
	said("c4", "127.0.0.11")
	// A container that has gone, and a file that is not one.
	gone := made("n1", n1, "e4", "02:42:00:00:00:04", "c3", ResolverGateway)
	if err := os.Remove(file("c3")); err != nil {
		t.Fatal(err)
	}
	w.ok(program, gone)
	if err := os.Symlink(file("c2"), file("c3")); err != nil {
		t.Fatal(err)
	}
	w.ok(program, gone)
	said("c2", "127.0.0.11")
}

// resolvers is a world of two containers, c1 and c2, that have the engine's name server
// in their files: their endpoints, by container, and a check of what a file says first.
func resolvers(t *testing.T) (w *world, ends map[string]string, said func(container, want string)) {
	t.Helper()
	w = newWorld(t)
	w.engine.folder = t.TempDir()
	ends = map[string]string{}
	pool := w.network("n1", "10.88.0.0/24")
	w.engine.endpoints["n1"] = map[string]bool{}
	for i, c := range []string{"c1", "c2"} {
		mac := fmt.Sprintf("02:42:00:00:00:0%d", i)
		address := w.ok("IpamDriver.RequestAddress", addressRequest(pool, "", mac))["Address"]
		w.ok("NetworkDriver.CreateEndpoint", fmt.Sprintf(`{"NetworkID":"n1","EndpointID":%q,"Interface":{"Address":%q,"MacAddress":%q},
			"Options":{"network.arca.dev/container-id":%q,"network.arca.dev/resolver":%q}}`, "e-"+c, address, mac, c, ResolverGateway))
		w.engine.endpoints["n1"]["e-"+c] = true
		ends[c] = ids("n1", "e-"+c)
		if err := os.WriteFile(filepath.Join(w.engine.folder, c), []byte("nameserver 127.0.0.11\noptions ndots:0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	said = func(container, want string) {
		t.Helper()
		raw, err := os.ReadFile(filepath.Join(w.engine.folder, container))
		if err != nil || !strings.HasPrefix(string(raw), "nameserver "+want+"\n") {
			t.Errorf("container %s has %q (%v), want %s", container, raw, err, want)
		}
	}
	return w, ends, said
}

// TestResolverOfAnEngineThatStarts: an engine that starts its containers waits for us,
// and answers when it has. What it would have been asked for is done then.
func TestResolverOfAnEngineThatStarts(t *testing.T) {
	w, ends, said := resolvers(t)
	w.restart()
	w.engine.starting, w.engine.away = true, true
	w.ok("Plugin.Activate", "")
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		w.ok("NetworkDriver.ProgramExternalConnectivity", ends["c1"])
		w.ok("NetworkDriver.ProgramExternalConnectivity", ends["c2"])
		w.ok("NetworkDriver.RevokeExternalConnectivity", ends["c2"])
	}()
	select {
	case <-answered:
	case <-time.After(callTimeout / 4):
		t.Fatal("the engine waits for us, and we for it")
	}
	said("c1", "127.0.0.11")
	if _, err := w.plugin.sweep(t.Context()); err == nil {
		t.Error("an engine that does not answer is no error")
	}
	w.engine.starting, w.engine.away = false, false
	if _, err := w.plugin.sweep(t.Context()); err != nil {
		t.Error(err)
	}
	said("c1", "10.88.0.1")
	said("c2", "127.0.0.11")
	// It is done once.
	w.ok("NetworkDriver.RevokeExternalConnectivity", ends["c1"])
	if _, err := w.plugin.sweep(t.Context()); err != nil {
		t.Error(err)
	}
	said("c1", "127.0.0.11")
}

// TestResolverIsNotWaitedFor: while the engine is asked about one container, others
// get their name servers; and what that one itself is told meanwhile is what holds.
func TestResolverIsNotWaitedFor(t *testing.T) {
	w, ends, said := resolvers(t)
	w.restart()
	w.engine.starting, w.engine.away = true, true
	w.ok("NetworkDriver.ProgramExternalConnectivity", ends["c1"])
	w.engine.starting, w.engine.away = false, false

	asked, answer := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.engine.located = func(container string) {
		first := false
		if container == "c1" {
			once.Do(func() { first = true })
		}
		if first {
			close(asked)
			<-answer
		}
	}
	swept := make(chan error, 1)
	go func() {
		_, err := w.plugin.sweep(t.Context())
		swept <- err
	}()
	<-asked
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.ok("NetworkDriver.ProgramExternalConnectivity", ends["c2"])
		w.ok("NetworkDriver.RevokeExternalConnectivity", ends["c1"])
	}()
	select {
	case <-done:
	case <-time.After(callTimeout / 4):
		t.Error("calls about other containers wait for the engine's answer about one")
	}
	close(answer)
	<-done
	if err := <-swept; err != nil {
		t.Error(err)
	}
	said("c2", "10.88.0.1")
	said("c1", "127.0.0.11")
}
