// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	kclient "sigs.k8s.io/controller-runtime/pkg/client"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/docker"
)

// One world for all that follows: each test has networks of its own.
func TestServer(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"predefined", predefined},
		{"a network's life", networkLife},
		{"by name and id", byNameAndID},
		{"refused", refusedRequests},
		{"bad input", badInput},
		{"system", system},
		{"configuration", configuration},
		{"containers", connectedContainers},
		{"events", eventStream},
		{"declared elsewhere", declaredElsewhere},
		{"at once", atOnce},
		{"restart", restart},
		{"prune", prune},
		{"killed", killed},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, w) })
	}
}

func (w *world) create(t testing.TB, name string, o client.NetworkCreateOptions) string {
	t.Helper()
	res, err := w.NetworkCreate(within(t, patience), name, o)
	if err != nil {
		t.Fatalf("creating %s: %v", name, err)
	}
	t.Cleanup(func() {
		if _, err := w.NetworkRemove(within(t, patience), res.ID, client.NetworkRemoveOptions{}); err != nil && !strings.Contains(err.Error(), "not found") {
			t.Errorf("removing %s: %v", name, err)
		}
	})
	return res.ID
}

func (w *world) inspect(t testing.TB, name string) network.Inspect {
	t.Helper()
	res, err := w.NetworkInspect(within(t, patience), name, client.NetworkInspectOptions{})
	if err != nil {
		t.Fatalf("inspecting %s: %v", name, err)
	}
	return res.Network
}

func (w *world) list(t testing.TB, f client.Filters) []string {
	t.Helper()
	res, err := w.NetworkList(within(t, patience), client.NetworkListOptions{Filters: f})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range res.Items {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return names
}

func ipam(subnets ...string) *network.IPAM {
	out := &network.IPAM{}
	for _, s := range subnets {
		out.Config = append(out.Config, network.IPAMConfig{Subnet: netip.MustParsePrefix(s)})
	}
	return out
}

func predefined(t *testing.T, w *world) {
	if got := fmt.Sprint(w.list(t, nil)); got != "[bridge host none]" {
		t.Errorf("there are %s", got)
	}
	b := w.inspect(t, "bridge")
	if b.Driver != "bridge" || b.IPAM.Config[0].Subnet.String() != "172.17.0.0/16" || b.IPAM.Config[0].Gateway.String() != "172.17.0.1" ||
		b.Options["com.docker.network.bridge.default_bridge"] != "true" || !b.EnableIPv4 || b.EnableIPv6 || b.Created.IsZero() || len(b.ID) != 64 {
		t.Errorf("bridge: %+v", b)
	}
	if n := w.inspect(t, "none"); n.Driver != "null" || n.IPAM.Config != nil || n.Containers == nil {
		t.Errorf("none: %+v", n)
	}
	if h := w.inspect(t, "host"); h.Driver != "host" || w.inspect(t, h.ID[:9]).Name != "host" {
		t.Errorf("host: %+v", h)
	}
	for _, name := range []string{"bridge", "host", "none"} {
		w.refused(t, "DELETE", "/networks/"+name, "", 403, name+" is a pre-defined network and cannot be removed")
	}
	// Somebody deletes it: it comes back.
	uid := func() (uid string) {
		var n v1alpha1.Network
		if err := w.api.Get(within(t, patience), kclient.ObjectKey{Name: "bridge"}, &n); err == nil {
			uid = string(n.UID)
		}
		return uid
	}
	before := uid()
	if _, err := w.control.DeleteBridge(within(t, patience), &controlpb.DeleteBridgeRequest{NetworkId: "bridge"}); err != nil {
		t.Fatal(err)
	}
	for ctx := within(t, patience); uid() == "" || uid() == before; time.Sleep(10 * time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatal("the network bridge does not come back")
		}
	}
}

func networkLife(t *testing.T, w *world) {
	yes := true
	begin := time.Now()
	id := w.create(t, "life", client.NetworkCreateOptions{
		EnableIPv6: &yes, Attachable: true, Labels: map[string]string{"com.example/a": "any value", "b": ""},
		Options: map[string]string{"com.docker.network.driver.mtu": "1400", "unknown": "kept"},
		IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.MustParsePrefix("10.41.0.0/24"), IPRange: netip.MustParsePrefix("10.41.0.128/25"),
			Gateway: netip.MustParseAddr("10.41.0.254"), AuxAddress: map[string]netip.Addr{"router": netip.MustParseAddr("10.41.0.200")}}}},
	})
	n := w.inspect(t, "life")
	got, err := json.Marshal(n.IPAM.Config[0])
	if want := `{"Subnet":"10.41.0.0/24","IPRange":"10.41.0.128/25","Gateway":"10.41.0.254","AuxiliaryAddresses":{"router":"10.41.0.200"}}`; err != nil || string(got) != want {
		t.Errorf("IPAM %s, want %s", got, want)
	}
	if len(n.IPAM.Config) != 2 || !n.IPAM.Config[1].Subnet.Addr().Is6() || !n.IPAM.Config[1].Gateway.IsValid() {
		t.Errorf("IPAM %+v: no IPv6 subnet was chosen", n.IPAM.Config)
	}
	if n.ID != id || n.Driver != "bridge" || n.Scope != "local" || !n.Attachable || n.Internal || !n.EnableIPv4 || !n.EnableIPv6 || n.IPAM.Driver != "default" ||
		fmt.Sprint(n.Labels) != "map[b: com.example/a:any value]" || fmt.Sprint(n.Options) != "map[com.docker.network.driver.mtu:1400 unknown:kept]" ||
		n.Created.Before(begin.Add(-time.Second)) || n.Created.After(time.Now().Add(time.Second)) {
		t.Errorf("%+v", n)
	}
	if s := n.Status.IPAM.Subnets[netip.MustParsePrefix("10.41.0.0/24")]; s.IPsInUse != 4 || s.DynamicIPsAvailable != 125 {
		t.Errorf("status %+v", s)
	}
	// The object is what it is, and its name is the id.
	var o v1alpha1.Network
	if err := w.api.Get(within(t, patience), kclient.ObjectKey{Name: id}, &o); err != nil || o.Spec.DNSName != "life" || o.EffectiveMTU() != 1400 ||
		fmt.Sprint(o.Spec.Subnets[0].Reserved) != "[10.41.0.200]" {
		t.Errorf("%+v, %v", o.Spec, err)
	}
	for filter, want := range map[string]string{"name=lif": "[life]", "id=" + id: "[life]", "label=b": "[life]", "label=com.example/a=any value": "[life]", "label=c": "[]",
		"type=custom": "[life]", "dangling=true": "[life]", "driver=overlay": "[]", "scope=local": "[bridge host life none]"} {
		key, value, _ := strings.Cut(filter, "=")
		if got := fmt.Sprint(w.list(t, client.Filters{}.Add(key, value))); got != want {
			t.Errorf("%s: %s, want %s", filter, got, want)
		}
	}
	if _, err := w.NetworkRemove(within(t, patience), "life", client.NetworkRemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	w.refused(t, "GET", "/networks/life", "", 404, "network life not found")
	w.refused(t, "DELETE", "/networks/life", "", 404, "network life not found")
}

func byNameAndID(t *testing.T, w *world) {
	id := w.create(t, "named", client.NetworkCreateOptions{IPAM: ipam("10.42.0.0/24")})
	other := w.create(t, "Named", client.NetworkCreateOptions{IPAM: ipam("10.43.0.0/24")}) // the same in DNS
	odd := w.create(t, "any text/of a name", client.NetworkCreateOptions{IPAM: ipam("10.44.0.0/24")})
	for term, want := range map[string]string{id: id, id[:12]: id, "named": id, "Named": other, other: other, "any%20text/of%20a%20name": odd} {
		var n network.Inspect
		if a := w.send(t, "GET", "/networks/"+term, "", ""); a.status != 200 || json.Unmarshal([]byte(a.body), &n) != nil || n.ID != want {
			t.Errorf("%s: %d %.300s, want %s", term, a.status, a.body, want)
		}
	}
	// A network that is called like the beginning of another's id: the name wins.
	prefix := w.create(t, id[:6], client.NetworkCreateOptions{IPAM: ipam("10.45.0.0/24")})
	if got := w.inspect(t, id[:6]).ID; got != prefix {
		t.Errorf("%s is %s, want %s", id[:6], got, prefix)
	}
	var all []string
	for i := range 17 { // two of them begin with the same digit
		all = append(all, w.create(t, fmt.Sprint("many", i), client.NetworkCreateOptions{IPAM: ipam(fmt.Sprintf("10.46.%d.0/24", i))}))
	}
	for _, a := range all {
		if n := len(w.list(t, client.Filters{}.Add("id", "^"+a[:1]))); n > 1 {
			w.refused(t, "GET", "/networks/"+a[:1], "", 400, fmt.Sprintf("%d matches found based on ID prefix: network %s is ambiguous", n, a[:1]))
			w.refused(t, "DELETE", "/networks/"+a[:1], "", 400, fmt.Sprintf("network %s is ambiguous (%d matches found based on ID prefix)", a[:1], n))
			return
		}
	}
	t.Error("no two ids begin with one digit")
}

func system(t *testing.T, w *world) {
	for _, method := range []string{"GET", "HEAD"} {
		a := w.send(t, method, "/_ping", "", "")
		if a.status != 200 || method == "GET" && a.body != "OK" || a.header.Get("Api-Version") != docker.MaxAPIVersion || a.header.Get("Ostype") != "linux" ||
			a.header.Get("Server") != "Docker/test (linux)" || a.header.Get("Swarm") != "inactive" {
			t.Errorf("%s /_ping: %+v", method, a)
		}
	}
	v, err := w.ServerVersion(within(t, patience), client.ServerVersionOptions{})
	if err != nil || v.APIVersion != docker.MaxAPIVersion || v.MinAPIVersion != docker.MinAPIVersion || v.Version != "test" {
		t.Errorf("%+v, %v", v, err)
	}
	i, err := w.Info(within(t, patience), client.InfoOptions{})
	if err != nil || i.Info.OSType != "linux" || !slices.Contains(i.Info.Plugins.Network, "bridge") {
		t.Errorf("%+v, %v", i, err)
	}
}

func configuration(t *testing.T, w *world) {
	id := w.create(t, "settings", client.NetworkCreateOptions{ConfigOnly: true, IPAM: ipam("10.48.0.0/24"), Labels: map[string]string{"a": "b"}})
	if n := w.inspect(t, "settings"); !n.ConfigOnly || n.Driver != "null" || n.Internal || n.IPAM.Config != nil || n.EnableIPv6 {
		t.Errorf("%+v", n)
	}
	w.create(t, "uses", client.NetworkCreateOptions{ConfigFrom: "settings"})
	n := w.inspect(t, "uses")
	if n.ConfigFrom.Network != "settings" || n.Labels["a"] != "b" || n.IPAM.Config[0].Subnet.String() != "10.48.0.0/24" || n.Driver != "bridge" {
		t.Errorf("%+v", n)
	}
	w.refused(t, "DELETE", "/networks/"+id, "", 403, `error while removing network: configuration network "settings" is in use`)
	if _, err := w.NetworkRemove(within(t, patience), "uses", client.NetworkRemoveOptions{}); err != nil {
		t.Error(err)
	}
}

// Networks that somebody else has declared are Docker's too.
func declaredElsewhere(t *testing.T, w *world) {
	n := &v1alpha1.Network{Spec: v1alpha1.NetworkSpec{DNSName: "declared", Subnets: []v1alpha1.Subnet{{CIDR: "10.52.0.0/24"}}, Internal: true}}
	n.Name = "by-yaml"
	if err := w.api.Create(within(t, patience), n); err != nil {
		t.Fatal(err)
	}
	for ctx := within(t, patience); !slices.Contains(w.list(t, nil), "declared"); {
		if ctx.Err() != nil {
			t.Fatal("it is not listed")
		}
	}
	for ctx := within(t, patience); len(w.inspect(t, "declared").IPAM.Config) == 0; {
		if ctx.Err() != nil {
			t.Fatal("it has no subnet")
		}
	}
	d := w.inspect(t, "declared")
	if d.ID != docker.DerivedID(string(n.UID)) || !d.Internal || d.Driver != "bridge" || w.inspect(t, d.ID).Name != "declared" || w.inspect(t, d.ID[:8]).Name != "declared" {
		t.Errorf("%+v", d)
	}
	if _, err := w.NetworkRemove(within(t, patience), d.ID, client.NetworkRemoveOptions{}); err != nil {
		t.Error(err)
	}
}

// Of many that want one name or one address, one gets it.
func atOnce(t *testing.T, w *world) {
	var mu sync.Mutex
	made := 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := w.NetworkCreate(within(t, patience), "wanted", client.NetworkCreateOptions{})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if !strings.Contains(err.Error(), "network with name wanted already exists") {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made != 1 {
		t.Errorf("%d networks were made", made)
	}
	if _, err := w.NetworkRemove(within(t, patience), "wanted", client.NetworkRemoveOptions{}); err != nil {
		t.Error(err)
	}
}

// All is in the objects: a server that starts anew answers the same.
func restart(t *testing.T, w *world) {
	id := w.create(t, "stays", client.NetworkCreateOptions{Labels: map[string]string{"a": "b"}})
	w.container(t, "cs1")
	if _, err := w.NetworkConnect(within(t, patience), "stays", client.NetworkConnectOptions{Container: "cs1"}); err != nil {
		t.Fatal(err)
	}
	answers := func() string {
		var out strings.Builder
		for _, path := range []string{"/networks", "/networks/stays", "/networks/bridge", "/networks/host", "/networks/" + id} {
			fmt.Fprintln(&out, w.send(t, "GET", path, "", "").body)
		}
		return out.String()
	}
	before := answers()
	w.stop()
	w.serve(t)
	if after := answers(); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if _, err := w.NetworkDisconnect(within(t, patience), "stays", client.NetworkDisconnectOptions{Container: "cs1"}); err != nil {
		t.Error(err)
	}
}

func prune(t *testing.T, w *world) {
	if a := w.send(t, "POST", "/networks/prune", "", ""); a.status != 200 || strings.TrimSpace(a.body) != `{"NetworksDeleted":null}` {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.create(t, "unused", client.NetworkCreateOptions{})
	w.create(t, "kept", client.NetworkCreateOptions{Labels: map[string]string{"keep": ""}})
	w.create(t, "used", client.NetworkCreateOptions{})
	w.container(t, "cp1")
	if _, err := w.NetworkConnect(within(t, patience), "used", client.NetworkConnectOptions{Container: "cp1"}); err != nil {
		t.Fatal(err)
	}
	res, err := w.NetworkPrune(within(t, patience), client.NetworkPruneOptions{Filters: client.Filters{}.Add("label!", "keep")})
	if err != nil || fmt.Sprint(res.Report.NetworksDeleted) != "[unused]" {
		t.Errorf("%+v, %v", res, err)
	}
	if got := fmt.Sprint(w.list(t, client.Filters{}.Add("type", "custom"))); got != "[kept used]" {
		t.Errorf("left are %s", got)
	}
	w.refused(t, "POST", "/networks/prune?filters=%7B%22foo%22:%5B%22a%22%5D%7D", "", 400, "invalid filter 'foo'")
	if _, err := w.NetworkDisconnect(within(t, patience), "used", client.NetworkDisconnectOptions{Container: "cp1"}); err != nil {
		t.Error(err)
	}
}
