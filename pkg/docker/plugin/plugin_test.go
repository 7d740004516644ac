// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vas-solutus/arca-network/pkg/docker"
)

// world is a plugin and what it works with.
type world struct {
	t       *testing.T
	control *fakeControl
	host    *fakeHost
	engine  *fakeEngine
	plugin  *Plugin
	clock   time.Time
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, control: newFakeControl(), host: &fakeHost{links: map[string]Link{}},
		engine: &fakeEngine{id: "engine-1", endpoints: map[string]map[string]bool{}},
		clock:  time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	w.restart()
	return w
}

// restart is what kill -9 of arcad and another start are.
func (w *world) restart() {
	if w.plugin != nil {
		w.plugin.removals.await(w.t.Context(), "") // it may not write to this world any more
	}
	w.plugin = New(Options{Control: w.control, Host: w.host, Engine: w.engine, Log: testr.New(w.t)})
	now := func() time.Time { return w.clock }
	w.plugin.now, w.plugin.pools.now = now, now
}

// post sends a call as an engine does.
func (w *world) post(call, body string) (int, map[string]any) {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/"+call, strings.NewReader(body))
	out := httptest.NewRecorder()
	w.plugin.Handler().ServeHTTP(out, r)
	answer := map[string]any{}
	raw, err := io.ReadAll(out.Body)
	if err == nil && out.Code != http.StatusNotFound {
		err = json.Unmarshal(raw, &answer)
	}
	if err != nil {
		w.t.Fatalf("%s: %v: %q", call, err, raw)
	}
	return out.Code, answer
}

// ok sends a call that must succeed.
func (w *world) ok(call, body string) map[string]any {
	w.t.Helper()
	code, answer := w.post(call, body)
	if code != http.StatusOK || answer["Err"] != nil || answer["Error"] != nil {
		w.t.Fatalf("%s %s: %d %v", call, body, code, answer)
	}
	return answer
}

// refused sends a call that must be refused with a text.
func (w *world) refused(call, body, text string) {
	w.t.Helper()
	code, answer := w.post(call, body)
	why := fmt.Sprint(answer["Err"])
	if strings.HasPrefix(call, ipamDriver) {
		why = fmt.Sprint(answer["Error"])
	}
	if code != http.StatusOK || !strings.Contains(why, text) {
		w.t.Errorf("%s %s: %d %v; want a refusal with %q", call, body, code, answer, text)
	}
}

func (w *world) state(want string) {
	w.t.Helper()
	w.plugin.removals.await(w.t.Context(), "")
	if got := w.control.state(); got != want {
		w.t.Errorf("objects are\n%s\nwant\n%s", got, want)
	}
	ends := map[string]bool{}
	for _, a := range w.control.attachments {
		ends[a.GetInterface().GetName()] = true
	}
	// Interfaces go after the answer.
	var have map[string]bool
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); time.Sleep(time.Millisecond) {
		have = map[string]bool{}
		links, _ := w.host.Links()
		for _, l := range links {
			have[l.Outer] = true
		}
		if maps.Equal(have, ends) {
			return
		}
	}
	w.t.Errorf("the host has interfaces %v, the objects %v", have, ends)
}

const mac1, mac2 = "02:42:00:00:00:01", "02:42:00:00:00:02"

// network makes a network as an engine does.
func (w *world) network(id, pool string) (poolID string) {
	w.t.Helper()
	got := w.ok("IpamDriver.RequestPool", fmt.Sprintf(`{"AddressSpace":"arca","Pool":%q,"Options":{}}`, pool))
	gateway := got["Data"].(map[string]any)[optionGateway]
	w.ok("NetworkDriver.CreateNetwork", fmt.Sprintf(`{"NetworkID":%q,"Options":{"com.docker.network.enable_ipv6":false,"com.docker.network.generic":{}},
		"IPv4Data":[{"AddressSpace":"arca","Pool":%q,"Gateway":%q}],"IPv6Data":[]}`, id, got["Pool"], gateway))
	return got["PoolID"].(string)
}

// endpoint makes an endpoint as an engine does, and returns its address.
func (w *world) endpoint(network, pool, id, mac string) string {
	w.t.Helper()
	address := w.ok("IpamDriver.RequestAddress", addressRequest(pool, "", mac))["Address"].(string)
	w.ok("NetworkDriver.CreateEndpoint", endpointRequestOf(network, id, address, mac))
	return address
}

func addressRequest(pool, address, mac string) string {
	return fmt.Sprintf(`{"PoolID":%q,"Address":%q,"Options":{"com.docker.network.endpoint.macaddress":%q,"com.docker.network.endpoint.name":"web"}}`, pool, address, mac)
}

func endpointRequestOf(network, id, address, mac string) string {
	return fmt.Sprintf(`{"NetworkID":%q,"EndpointID":%q,"Options":{"com.docker.network.portmap":[]},"Interface":{"Address":%q,"AddressIPv6":"","MacAddress":%q}}`, network, id, address, mac)
}

func ids(network, endpoint string) string {
	return fmt.Sprintf(`{"NetworkID":%q,"EndpointID":%q}`, network, endpoint)
}

func TestLifeOfAnEndpoint(t *testing.T) {
	w := newWorld(t)
	w.ok("Plugin.Activate", "")
	pool := w.network("n1", "10.88.0.0/24")
	address := w.endpoint("n1", pool, "e1", mac1)
	join := w.ok("NetworkDriver.Join", `{"NetworkID":"n1","EndpointID":"e1","SandboxKey":"/run/docker/netns/x","Options":{}}`)
	names := join["InterfaceName"].(map[string]any)
	var link Link
	for _, l := range w.host.links {
		link = l
	}
	if names["SrcName"] != link.Inner || names["DstPrefix"] != "eth" || join["Gateway"] != "10.88.0.1" || join["GatewayIPv6"] != "" {
		t.Errorf("Join answered %v; want interface %s and gateway 10.88.0.1", join, link.Inner)
	}
	if link.MAC.String() != mac1 {
		t.Errorf("the interface has MAC %s, want %s", link.MAC, mac1)
	}
	ports := `{"NetworkID":"n1","EndpointID":"e1","Options":{"com.docker.network.portmap":[{"Proto":6,"IP":"","Port":80,"HostIP":"","HostPort":8080,"HostPortEnd":8080}]}}`
	w.ok("NetworkDriver.ProgramExternalConnectivity", ports)
	w.state("endpoint e1 on n1: " + address + " " + mac1 + " :8080>80/tcp\nnetwork n1 10.88.0.0/24")
	info := w.ok("NetworkDriver.EndpointOperInfo", ids("n1", "e1"))
	if got := fmt.Sprint(info["Value"].(map[string]any)[optionPortMap]); !strings.Contains(got, "HostPort:8080") {
		t.Errorf("EndpointOperInfo says %s, want port 8080", got)
	}
	w.ok("NetworkDriver.RevokeExternalConnectivity", ids("n1", "e1"))
	w.state("endpoint e1 on n1: " + address + " " + mac1 + "\nnetwork n1 10.88.0.0/24")
	w.ok("NetworkDriver.Leave", ids("n1", "e1"))
	w.ok("NetworkDriver.DeleteEndpoint", ids("n1", "e1"))
	w.ok("IpamDriver.ReleaseAddress", fmt.Sprintf(`{"PoolID":%q,"Address":%q}`, pool, strings.TrimSuffix(address, "/24")))
	w.state("network n1 10.88.0.0/24")
	w.ok("IpamDriver.ReleaseAddress", fmt.Sprintf(`{"PoolID":%q,"Address":"10.88.0.1"}`, pool))
	w.ok("IpamDriver.ReleasePool", fmt.Sprintf(`{"PoolID":%q}`, pool))
	w.ok("NetworkDriver.DeleteNetwork", `{"NetworkID":"n1"}`)
	w.state("")
}

// Every call may be lost and repeated, with a kill -9 of arcad in between.
func TestRepeatedAfterRestart(t *testing.T) {
	w := newWorld(t)
	pool := w.network("n1", "10.88.0.0/24")
	twice := func(call, body string) (answer map[string]any) {
		t.Helper()
		first := fmt.Sprint(w.ok(call, body))
		w.restart()
		answer = w.ok(call, body)
		if fmt.Sprint(answer) != first {
			t.Errorf("%s: answered %s, and repeated %v", call, first, answer)
		}
		w.restart()
		return answer
	}
	address := twice("IpamDriver.RequestAddress", addressRequest(pool, "", mac1))["Address"].(string)
	w.state("network n1 10.88.0.0/24\nreservation on n1: " + address + " " + mac1)
	twice("NetworkDriver.CreateEndpoint", endpointRequestOf("n1", "e1", address, mac1))
	twice("NetworkDriver.Join", `{"NetworkID":"n1","EndpointID":"e1"}`)
	ports := `{"NetworkID":"n1","EndpointID":"e1","Options":{"com.docker.network.portmap":[{"Proto":17,"Port":53,"HostPort":0}]}}`
	twice("NetworkDriver.ProgramExternalConnectivity", ports)
	state := w.control.state()
	w.ok("NetworkDriver.ProgramExternalConnectivity", ports)
	w.state(state)
	twice("NetworkDriver.RevokeExternalConnectivity", ids("n1", "e1"))
	twice("NetworkDriver.DeleteEndpoint", ids("n1", "e1"))
	twice("IpamDriver.ReleaseAddress", fmt.Sprintf(`{"PoolID":%q,"Address":%q}`, pool, strings.TrimSuffix(address, "/24")))
	twice("NetworkDriver.DeleteNetwork", `{"NetworkID":"n1"}`)
	w.state("")
}

// A server that is restarted is waited for.
func TestServerAway(t *testing.T) {
	w := newWorld(t)
	pool := w.network("n1", "10.88.0.0/24")
	w.control.away = 2
	w.endpoint("n1", pool, "e1", mac1)
	w.control.away = 1
	w.ok("NetworkDriver.DeleteEndpoint", ids("n1", "e1"))
	w.state("network n1 10.88.0.0/24")

	// Also where an endpoint has to be looked for among all.
	w.endpoint("n1", pool, "e2", mac2)
	w.restart()
	w.control.lost = 2
	w.ok("NetworkDriver.DeleteEndpoint", ids("stands-for-n1", "e2"))
	w.state("network n1 10.88.0.0/24")
}

func TestAddresses(t *testing.T) {
	w := newWorld(t)
	pool := w.network("n1", "10.88.0.0/24")
	got := w.ok("IpamDriver.RequestAddress", addressRequest(pool, "10.88.0.77", mac1))["Address"]
	if got != "10.88.0.77/24" {
		t.Errorf("got %v, want the address that was asked for", got)
	}
	w.refused("IpamDriver.RequestAddress", addressRequest(pool, "10.88.0.77", mac2), "Address already in use")
	w.refused("IpamDriver.RequestAddress", addressRequest(pool, "10.99.0.7", mac2), "does not lie in")
	w.refused("IpamDriver.RequestAddress", addressRequest(pool, "", "02:zz"), "MAC address")
	w.refused("IpamDriver.RequestAddress", fmt.Sprintf(`{"PoolID":%q}`, pool), "without the MAC")
	w.refused("IpamDriver.RequestAddress", addressRequest("10.1.0.0/16", "", mac2), "of no network of driver arca")
	w.refused("IpamDriver.RequestAddress", addressRequest("x", "", mac2), "not one of this driver's")
	w.state("network n1 10.88.0.0/24\nreservation on n1: 10.88.0.77/24 " + mac1)
	w.ok("NetworkDriver.CreateEndpoint", endpointRequestOf("n1", "e1", "10.88.0.77/24", mac1))
	// The MAC of an endpoint that there is.
	w.refused("IpamDriver.RequestAddress", addressRequest(pool, "", mac1), "is that of endpoint e1")
	w.refused("NetworkDriver.CreateEndpoint", endpointRequestOf("n1", "e2", "10.88.0.78/24", mac1), "is that of endpoint e1")
	// A late release of an address that has another owner by now.
	w.ok("IpamDriver.ReleaseAddress", fmt.Sprintf(`{"PoolID":%q,"Address":"10.88.0.77"}`, pool))
	w.state("endpoint e1 on n1: 10.88.0.77/24 " + mac1 + "\nnetwork n1 10.88.0.0/24")

	for i := 2; i < 256; i++ {
		_, answer := w.post("IpamDriver.RequestAddress", addressRequest(pool, "", fmt.Sprintf("02:42:00:00:01:%02x", i)))
		if answer["Error"] != nil {
			if why := fmt.Sprint(answer["Error"]); !strings.Contains(why, "no available IPv4 addresses on this network's address pools: ") {
				t.Errorf("at the end of the pool: %s", why)
			}
			return
		}
	}
	t.Error("a /24 never came to its end")
}

func TestDualStack(t *testing.T) {
	w := newWorld(t)
	w.ok("IpamDriver.RequestPool", `{"Pool":"10.88.0.0/24"}`)
	w.ok("IpamDriver.RequestPool", `{"Pool":"fd00:88::/64","V6":true}`)
	w.ok("NetworkDriver.CreateNetwork", `{"NetworkID":"n1","Options":{},"IPv4Data":[{"AddressSpace":"arca","Pool":"10.88.0.0/24","Gateway":"10.88.0.9/24","AuxAddresses":{"x":"10.88.0.5/24"}}],
		"IPv6Data":[{"AddressSpace":"arca","Pool":"fd00:88::/64","Gateway":"fd00:88::1/64"}]}`)
	w.ok("IpamDriver.RequestAddress", addressRequest("10.88.0.0/24", "10.88.0.20", mac1))
	if got := w.ok("IpamDriver.RequestAddress", addressRequest("fd00:88::/64", "fd00:88::20", mac1))["Address"]; got != "fd00:88::20/64" {
		t.Errorf("got %v, want the IPv6 address that was asked for", got)
	}
	w.ok("NetworkDriver.CreateEndpoint", fmt.Sprintf(`{"NetworkID":"n1","EndpointID":"e1","Interface":{"Address":"10.88.0.20/24","AddressIPv6":"fd00:88::20/64","MacAddress":%q}}`, mac1))
	w.state("endpoint e1 on n1: 10.88.0.20/24 fd00:88::20/64 " + mac1 + "\nnetwork n1 10.88.0.0/24")
	join := w.ok("NetworkDriver.Join", ids("n1", "e1"))
	if join["Gateway"] != "10.88.0.9" || join["GatewayIPv6"] != "fd00:88::1" {
		t.Errorf("Join answered %v, want both gateways", join)
	}
	w.refused("IpamDriver.RequestAddress", addressRequest("10.88.0.0/24", "10.88.0.5", mac2), "10.88.0.5")
}

// Addresses of other IPAM drivers: the engine's own, and none.
func TestOtherIPAM(t *testing.T) {
	w := newWorld(t)
	w.ok("NetworkDriver.CreateNetwork", `{"NetworkID":"n1","Options":{},"IPv4Data":[{"AddressSpace":"LocalDefault","Pool":"10.88.0.0/24","Gateway":"10.88.0.1/24"}]}`)
	answer := w.ok("NetworkDriver.CreateEndpoint", `{"NetworkID":"n1","EndpointID":"e1","Interface":{"Address":"10.88.0.7/24"}}`)
	mac := macFor("e1").String()
	if got := answer["Interface"].(map[string]any); got["MacAddress"] != mac || got["Address"] != "" {
		t.Errorf("CreateEndpoint answered %v, want only the MAC %s", answer, mac)
	}
	w.ok("NetworkDriver.CreateNetwork", `{"NetworkID":"n2","Options":{},"IPv4Data":[{"AddressSpace":"null","Pool":"0.0.0.0/0","Gateway":"0.0.0.0/0"}]}`)
	answer = w.ok("NetworkDriver.CreateEndpoint", `{"NetworkID":"n2","EndpointID":"e2","Interface":{"Address":"","AddressIPv6":"","MacAddress":"`+mac2+`"}}`)
	if got := answer["Interface"].(map[string]any); got["MacAddress"] != "" || got["Address"] != "172.30.0.2/16" {
		t.Errorf("CreateEndpoint answered %v, want only the address", answer)
	}
	w.state("endpoint e1 on n1: 10.88.0.7/24 " + mac + "\nendpoint e2 on n2: 172.30.0.2/16 " + mac2 + "\nnetwork n1 10.88.0.0/24\nnetwork n2 172.30.0.0/16")
	w.refused("NetworkDriver.CreateNetwork", `{"NetworkID":"n3","Options":{},"IPv4Data":[{"Pool":"0.0.0.0/0"}],"IPv6Data":[{"Pool":"::/0"}]}`, "null cannot be used with IPv6")
	w.refused("NetworkDriver.CreateNetwork", `{"NetworkID":"n3","Options":{},"IPv4Data":[{"AddressSpace":"LocalDefault","Pool":"10.88.0.0/16"}]}`, "Pool overlaps with other one")
	w.refused("NetworkDriver.CreateNetwork", `{"NetworkID":"n3","Options":{},"IPv4Data":[{"AddressSpace":"LocalDefault","Pool":"10.1.0.0/16"},{"AddressSpace":"LocalDefault","Pool":"10.2.0.0/16"}]}`, "at most one")
}

// A network of the engine's that stands for one that is there.
func TestExistingNetwork(t *testing.T) {
	w := newWorld(t)
	w.ok("NetworkDriver.CreateNetwork", `{"NetworkID":"theirs","Options":{},"IPv4Data":[{"AddressSpace":"LocalDefault","Pool":"10.88.0.0/24","Gateway":"10.88.0.3/24"}]}`)
	delete(w.control.networks["theirs"].Annotations, noteMaker)
	options := `{"network.arca.dev/network":"theirs"}`
	got := w.ok("IpamDriver.RequestPool", `{"AddressSpace":"arca","Options":`+options+`}`)
	if got["Pool"] != "10.88.0.0/24" || got["Data"].(map[string]any)[optionGateway] != "10.88.0.3/24" {
		t.Errorf("RequestPool answered %v, want the network's subnet and gateway", got)
	}
	if again := w.ok("IpamDriver.RequestPool", `{"AddressSpace":"arca","Pool":"10.88.0.0/24","Options":`+options+`}`); again["PoolID"] != got["PoolID"] {
		t.Errorf("with its subnet named: %v, want the same pool", again)
	}
	w.refused("IpamDriver.RequestPool", `{"Pool":"10.1.0.0/24","Options":`+options+`}`, "that of network theirs is 10.88.0.0/24")
	w.refused("IpamDriver.RequestPool", `{"V6":true,"Options":`+options+`}`, "has no IPv6 subnet")
	w.refused("IpamDriver.RequestPool", `{"Options":{"network.arca.dev/network":"nope"}}`, "does not exist")
	pool := got["PoolID"].(string)
	w.ok("IpamDriver.RequestAddress", fmt.Sprintf(`{"PoolID":%q,"Address":"10.88.0.3","Options":{"RequestAddressType":"com.docker.network.gateway"}}`, pool))
	w.refused("IpamDriver.RequestAddress", fmt.Sprintf(`{"PoolID":%q,"Address":"10.88.0.4","Options":{"RequestAddressType":"com.docker.network.gateway"}}`, pool), "not the gateway")
	create := `{"NetworkID":"shadow","Options":{"com.docker.network.generic":` + options + `,"com.docker.network.internal":true},"IPv4Data":[{"AddressSpace":"arca","Pool":"10.88.0.0/24","Gateway":"10.88.0.3/24"}]}`
	w.ok("NetworkDriver.CreateNetwork", create)
	w.refused("NetworkDriver.CreateNetwork", strings.ReplaceAll(create, `"Pool":"10.88.0.0/24"`, `"Pool":"0.0.0.0/0"`), "is not a subnet of network theirs")
	address := w.endpoint("shadow", pool, "e1", mac1)
	if !strings.HasPrefix(address, "10.88.0.") {
		t.Errorf("address %s is not of the network", address)
	}
	w.restart() // nothing is remembered of what stands for what
	if join := w.ok("NetworkDriver.Join", ids("shadow", "e1")); join["Gateway"] != "10.88.0.3" {
		t.Errorf("Join answered %v, want gateway 10.88.0.3", join)
	}
	w.ok("NetworkDriver.DeleteEndpoint", ids("shadow", "e1"))
	w.ok("NetworkDriver.DeleteNetwork", `{"NetworkID":"shadow"}`)
	w.ok("NetworkDriver.DeleteNetwork", `{"NetworkID":"theirs"}`) // not made by the driver
	w.state("network theirs 10.88.0.0/24")
}

func TestPools(t *testing.T) {
	w := newWorld(t)
	w.host.routes = []netip.Prefix{netip.MustParsePrefix("172.18.0.0/15")}
	request := `{"AddressSpace":"arca","Options":{}}`
	first := w.ok("IpamDriver.RequestPool", request)
	second := w.ok("IpamDriver.RequestPool", request)
	if first["Pool"] != "172.20.0.0/16" || second["Pool"] != "172.21.0.0/16" {
		t.Errorf("pools %v and %v; want those after the host's routes, one after the other", first["Pool"], second["Pool"])
	}
	w.ok("IpamDriver.ReleasePool", fmt.Sprintf(`{"PoolID":%q}`, first["PoolID"]))
	if again := w.ok("IpamDriver.RequestPool", request); again["Pool"] != "172.20.0.0/16" {
		t.Errorf("after a release: %v, want 172.20.0.0/16", again["Pool"])
	}
	w.clock = w.clock.Add(poolHeld + time.Second)
	if again := w.ok("IpamDriver.RequestPool", request); again["Pool"] != "172.20.0.0/16" {
		t.Errorf("after all were held too long: %v, want 172.20.0.0/16", again["Pool"])
	}
	if v6 := w.ok("IpamDriver.RequestPool", `{"V6":true}`); !strings.HasPrefix(v6["Pool"].(string), "fd") {
		t.Errorf("IPv6 pool %v, want one of fd00::/8", v6["Pool"])
	}
	w.refused("IpamDriver.RequestPool", `{"SubPool":"10.1.0.0/24"}`, "without its subnet")
	w.refused("IpamDriver.RequestPool", `{"Pool":"10.1.0.5/24"}`, "without host bits")
	w.refused("IpamDriver.RequestPool", `{"Pool":"0.0.0.0/24"}`, "cannot be chosen yet")
	w.refused("IpamDriver.RequestPool", `{"Pool":"10.1.0.0/24","SubPool":"10.2.0.0/25"}`, "does not lie in")

	// The range that addresses are chosen from comes with the pool alone.
	ranged := w.ok("IpamDriver.RequestPool", `{"AddressSpace":"arca","Pool":"10.9.0.0/24","SubPool":"10.9.0.128/25"}`)
	w.ok("NetworkDriver.CreateNetwork", `{"NetworkID":"n1","Options":{},"IPv4Data":[{"AddressSpace":"arca","Pool":"10.9.0.0/24","Gateway":"10.9.0.1/24"}]}`)
	if got := w.control.networks["n1"].GetSubnets()[0].GetIpRange(); got != "10.9.0.128/25" {
		t.Errorf("the network has range %q, want 10.9.0.128/25", got)
	}
	if got := w.endpoint("n1", ranged["PoolID"].(string), "e1", mac1); got != "10.9.0.128/24" {
		t.Errorf("address %s, want the first of the range", got)
	}
	w.refused("IpamDriver.RequestPool", `{"Pool":"10.9.0.0/16"}`, "Pool overlaps with other one on this address space")
}

// A network whose pool was asked for by a process that was killed since is made,
// and its addresses are of the range that was asked for with the pool.
func TestRangeThatIsForgotten(t *testing.T) {
	w := newWorld(t)
	pool := w.ok("IpamDriver.RequestPool", `{"AddressSpace":"arca","Pool":"10.9.0.0/24","SubPool":"10.9.0.8/29"}`)["PoolID"].(string)
	w.restart()
	w.ok("NetworkDriver.CreateNetwork", `{"NetworkID":"n1","Options":{},
		"IPv4Data":[{"AddressSpace":"arca","Pool":"10.9.0.0/24","Gateway":"10.9.0.8/24","AuxAddresses":{"x":"10.9.0.9/24"}}]}`)
	mac := func(i int) string { return fmt.Sprintf("02:42:00:00:01:%02x", i) }
	w.ok("IpamDriver.RequestAddress", addressRequest(pool, "10.9.0.77", mac(77))) // who names one may have it
	for i := 10; i <= 15; i++ {
		if got, want := w.endpoint("n1", pool, fmt.Sprint("e", i), mac(i)), fmt.Sprintf("10.9.0.%d/24", i); got != want {
			t.Errorf("address %s, want %s: the next of the range that is neither the gateway nor reserved", got, want)
		}
	}
	w.refused("IpamDriver.RequestAddress", addressRequest(pool, "", mac(1)), "no available IPv4 addresses")
	if strings.Contains(w.control.state(), mac(1)) {
		t.Errorf("what was refused is left:\n%s", w.control.state())
	}
	w.ok("NetworkDriver.DeleteEndpoint", ids("n1", "e12"))
	if got := w.endpoint("n1", pool, "e16", mac(16)); got != "10.9.0.12/24" {
		t.Errorf("address %s, want the one that was given back", got)
	}
	// And asked again, it is the same.
	if got := w.ok("IpamDriver.RequestAddress", addressRequest(pool, "10.9.0.77", mac(77)))["Address"]; got != "10.9.0.77/24" {
		t.Errorf("address %s, want 10.9.0.77/24", got)
	}
}

// What fails in the middle leaves nothing.
func TestFailures(t *testing.T) {
	w := newWorld(t)
	pool := w.network("n1", "10.88.0.0/24")
	w.host.broken = errors.New("no room for interfaces")
	w.refused("IpamDriver.RequestAddress", addressRequest(pool, "", mac1), "no room for interfaces")
	w.host.broken = nil
	w.control.broken = status.Error(codes.DeadlineExceeded, "it is kept and worked on")
	w.refused("IpamDriver.RequestAddress", addressRequest(pool, "", mac1), "kept and worked on")
	w.control.broken = nil
	w.state("network n1 10.88.0.0/24")
	w.refused("NetworkDriver.Join", ids("n1", "e1"), "endpoint e1 not found")
	w.refused("NetworkDriver.ProgramExternalConnectivity", ids("n1", "e1"), "endpoint e1 not found")
	w.refused("NetworkDriver.CreateEndpoint", endpointRequestOf("n1", "e1", "10.1.0.1/24", mac1), "not in the subnets")
	w.refused("NetworkDriver.CreateEndpoint", endpointRequestOf("n9", "e1", "10.1.0.1/24", mac1), "network n9 not found")
	w.ok("NetworkDriver.DeleteEndpoint", ids("n1", "e1"))
	w.ok("NetworkDriver.RevokeExternalConnectivity", ids("n1", "e1"))
	w.state("network n1 10.88.0.0/24")
}

func TestPublishing(t *testing.T) {
	w := newWorld(t)
	pool := w.network("n1", "10.88.0.0/24")
	first, second := w.endpoint("n1", pool, "e1", mac1), w.endpoint("n1", pool, "e2", mac2)
	publish := func(endpoint, ports string) string {
		return fmt.Sprintf(`{"NetworkID":"n1","EndpointID":%q,"Options":{"com.docker.network.portmap":[%s]}}`, endpoint, ports)
	}
	ranged := `{"Proto":6,"Port":80,"HostIP":"127.0.0.1","HostPort":9000,"HostPortEnd":9002}`
	w.control.busy[9000] = true
	w.ok("NetworkDriver.ProgramExternalConnectivity", publish("e1", ranged))
	w.ok("NetworkDriver.ProgramExternalConnectivity", publish("e2", ranged))
	w.state("endpoint e1 on n1: " + first + " " + mac1 + " 127.0.0.1:9001>80/tcp\nendpoint e2 on n1: " + second + " " + mac2 + " 127.0.0.1:9002>80/tcp\nnetwork n1 10.88.0.0/24")
	w.ok("NetworkDriver.RevokeExternalConnectivity", ids("n1", "e2"))
	w.refused("NetworkDriver.ProgramExternalConnectivity", publish("e2", `{"Proto":6,"Port":80,"HostPort":9000}`), "a process listens on 9000")
	w.refused("NetworkDriver.ProgramExternalConnectivity", publish("e2", `{"Proto":6,"Port":80,"HostPort":9000,"HostPortEnd":9001}`), "ports[0]")
	w.refused("NetworkDriver.ProgramExternalConnectivity", publish("e2", `{"Proto":1,"Port":80}`), "protocol 1 cannot be published")
	// Chosen, and the first choice taken.
	b, err := bindingsOf(map[string]any{optionPortMap: []any{map[string]any{"Proto": 132, "Port": 7}}}, "", "e2")
	if err != nil {
		t.Fatal(err)
	}
	choice := b[0].candidate().GetHostPort()
	w.control.busy[choice] = true
	w.ok("NetworkDriver.ProgramExternalConnectivity", publish("e2", `{"Proto":132,"Port":7}`))
	if got := w.control.attachments["mac-024200000002.n1"].GetPorts()[0]; got.GetHostPort() == choice || got.GetHostPort() < firstChosen || got.GetHostPort() > lastChosen || got.GetProtocol() != "sctp" {
		t.Errorf("published %v, want another port than %d of %d to %d", got, choice, firstChosen, lastChosen)
	}
}

// The address that ports are published at where none is said is a network's own,
// whether this driver has made it or who serves Docker's API.
func TestPublishedAtTheNetworksAddress(t *testing.T) {
	for name, c := range map[string]struct{ made, served, want string }{
		"made here":                  {made: "127.0.0.1", want: "127.0.0.1"},
		"of Docker's API":            {served: "127.0.0.1", want: "127.0.0.1"},
		"made here, all addresses":   {made: "0.0.0.0"},
		"of Docker's API, all":       {served: "0.0.0.0"},
		"of Docker's API, IPv6":      {served: "::1", want: "::1"},
		"of Docker's API, not valid": {served: "here"},
		"none":                       {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			generic := "{}"
			if c.made != "" {
				generic = fmt.Sprintf(`{%q:%q}`, optionHostBinding, c.made)
			}
			w.ok("NetworkDriver.CreateNetwork", `{"NetworkID":"n1","Options":{"com.docker.network.generic":`+generic+`},"IPv4Data":[{"Pool":"10.88.0.0/24"}],"IPv6Data":[{"Pool":"fd00:88::/64"}]}`)
			if c.served != "" {
				maps.Copy(w.control.networks["n1"].Annotations, docker.Facts{Options: map[string]string{optionHostBinding: c.served}}.Annotations())
			}
			w.ok("NetworkDriver.CreateEndpoint", fmt.Sprintf(`{"NetworkID":"n1","EndpointID":"e1","Interface":{"Address":"10.88.0.7/24","AddressIPv6":"fd00:88::7/64","MacAddress":%q}}`, mac1))
			w.ok("NetworkDriver.ProgramExternalConnectivity", `{"NetworkID":"n1","EndpointID":"e1","Options":{"com.docker.network.portmap":[{"Proto":6,"Port":80,"HostPort":8080}]}}`)
			if got := w.control.attachments["mac-024200000001.n1"].GetPorts()[0].GetHostIp(); got != c.want {
				t.Errorf("published at %q, want %q", got, c.want)
			}
		})
	}
}

// All of each range is tried, however many ports were in use in others.
func TestPublishingRanges(t *testing.T) {
	const program = "NetworkDriver.ProgramExternalConnectivity"
	w := newWorld(t)
	pool := w.network("n1", "10.88.0.0/24")
	published := func(endpoint, ports string) string {
		return fmt.Sprintf(`{"NetworkID":"n1","EndpointID":%q,"Options":{"com.docker.network.portmap":[%s]}}`, endpoint, ports)
	}
	want := func(at string, ports ...int32) {
		t.Helper()
		var got []int32
		for _, p := range w.control.attachments[at+".n1"].GetPorts() {
			got = append(got, p.GetHostPort())
		}
		if !slices.Equal(got, ports) {
			t.Errorf("%s publishes %v, want %v", at, got, ports)
		}
	}
	w.endpoint("n1", pool, "e1", mac1)
	w.endpoint("n1", pool, "e2", mac2)
	two := `{"Proto":6,"Port":80,"HostPort":8000,"HostPortEnd":8001},{"Proto":6,"Port":90,"HostPort":9000,"HostPortEnd":9001}`
	w.ok(program, published("e1", two))
	w.ok(program, published("e2", two))
	want("mac-024200000001", 8000, 9000)
	want("mac-024200000002", 8001, 9001)
	w.endpoint("n1", pool, "e3", "02:42:00:00:00:03")
	w.refused(program, published("e3", two), "ports[0]")

	for port := range int32(99) {
		w.control.busy[7000+port] = true
	}
	hundred := `{"Proto":6,"Port":80,"HostPort":7000,"HostPortEnd":7099}`
	w.ok(program, published("e3", hundred))
	want("mac-024200000003", 7099)
	w.control.busy[7099] = true
	w.ok("NetworkDriver.RevokeExternalConnectivity", ids("n1", "e3"))
	w.refused(program, published("e3", hundred), "7099")

	// Of all ports, not all are tried.
	for port := range int32(1 << 16) {
		w.control.busy[port] = true
	}
	before := w.control.updates
	w.refused(program, published("e3", `{"Proto":6,"Port":80}`), "a process listens on")
	if tried := w.control.updates - before; tried != maxPortTries {
		t.Errorf("%d ports were tried, want %d", tried, maxPortTries)
	}
}

func TestOptionsOfEndpoints(t *testing.T) {
	w := newWorld(t)
	pool := w.network("n1", "10.88.0.0/24")
	w.ok("IpamDriver.RequestAddress", addressRequest(pool, "10.88.0.9", mac1))
	w.ok("NetworkDriver.CreateEndpoint", fmt.Sprintf(`{"NetworkID":"n1","EndpointID":"e1","Interface":{"Address":"10.88.0.9/24","MacAddress":%q},
		"Options":{"network.arca.dev/hostname":"db","network.arca.dev/aliases":"a,b,a","network.arca.dev/names":"Host-1,no name","network.arca.dev/container-id":"c1","com.docker.network.endpoint.ifname":"net7"}}`, mac1))
	a := w.control.attachments["mac-024200000001.n1"]
	if a.GetHostname() != "db" || fmt.Sprint(a.GetAliases()) != "[a b Host-1]" || a.GetAnnotations()[noteContainer] != "c1" || a.GetAnnotations()[noteName] != "web" {
		t.Errorf("the attachment is %v; want its names, its container and its endpoint's name", a)
	}
	if join := w.ok("NetworkDriver.Join", ids("n1", "e1")); join["InterfaceName"].(map[string]any)["DstName"] != "net7" {
		t.Errorf("Join answered %v, want interface net7", join)
	}
}

func TestProtocol(t *testing.T) {
	w := newWorld(t)
	if got := fmt.Sprint(w.ok("Plugin.Activate", "")["Implements"]); got != "[NetworkDriver IpamDriver]" {
		t.Errorf("Activate says %s", got)
	}
	if got := w.ok("NetworkDriver.GetCapabilities", ""); got["Scope"] != "local" || got["ConnectivityScope"] != "local" {
		t.Errorf("GetCapabilities says %v", got)
	}
	if got := w.ok("IpamDriver.GetCapabilities", ""); got["RequiresMACAddress"] != true || got["RequiresRequestReplay"] != false {
		t.Errorf("GetCapabilities says %v", got)
	}
	if got := w.ok("IpamDriver.GetDefaultAddressSpaces", ""); got["LocalDefaultAddressSpace"] != got["GlobalDefaultAddressSpace"] {
		t.Errorf("address spaces %v; two would have an engine compare pools with routes to them", got)
	}
	w.ok("NetworkDriver.DiscoverNew", `{"DiscoveryType":1,"DiscoveryData":{"Address":"192.0.2.1","self":true}}`)
	for _, c := range []struct {
		name, call, body string
		code             int
	}{
		{"unknown call", "NetworkDriver.AllocateNetwork", "{}", http.StatusNotFound},
		{"truncated", "NetworkDriver.CreateNetwork", `{"NetworkID":"n`, http.StatusBadRequest},
		{"wrong type", "NetworkDriver.CreateNetwork", `{"NetworkID":7}`, http.StatusBadRequest},
		{"not an object", "IpamDriver.RequestPool", `[]`, http.StatusBadRequest},
		{"a call that broke off", "NetworkDriver.DeleteEndpoint", "", http.StatusBadRequest},
		{"more behind it", "IpamDriver.RequestPool", `{} {}`, http.StatusBadRequest},
		{"too large", "NetworkDriver.Join", `{"NetworkID":"` + strings.Repeat("x", maxBody) + `"}`, http.StatusRequestEntityTooLarge},
	} {
		if code, answer := w.post(c.call, c.body); code != c.code {
			t.Errorf("%s: %d %v, want %d", c.name, code, answer, c.code)
		}
	}
	out := httptest.NewRecorder()
	w.plugin.Handler().ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/Plugin.Activate", nil))
	if out.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d, want %d", out.Code, http.StatusMethodNotAllowed)
	}
}

// A network is known to be an engine's also where the engine is killed while it is made.
func TestEngineOfANetwork(t *testing.T) {
	w := newWorld(t)
	made := func(id, pool, want string) {
		t.Helper()
		w.network(id, pool)
		if got := w.control.networks[id].GetAnnotations()[noteEngine]; got != want {
			t.Errorf("network %s is of engine %q, want %q", id, got, want)
		}
	}
	w.ok("Plugin.Activate", "")
	made("n1", "10.88.0.0/24", "engine-1")
	w.engine.away = true
	made("n2", "10.89.0.0/24", "engine-1")
	w.ok("Plugin.Activate", "") // of another, perhaps
	made("n3", "10.90.0.0/24", "")
}
