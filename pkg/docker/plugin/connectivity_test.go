// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
)

// Ports move from one endpoint to another of the same container, and of no other,
// for a while after a call that broke off.
func TestPortsAreTakenOver(t *testing.T) {
	for _, test := range []struct{ option, first, second string }{
		{optionEndpointName, "web", "db"},
		{OptionContainer, "c1", "c2"},
	} {
		t.Run(test.option, func(t *testing.T) {
			w := newWorld(t)
			pools := map[string]string{"n1": w.network("n1", "10.88.0.0/24"), "n2": w.network("n2", "10.89.0.0/24")}
			endpoint := func(network, id, mac, container string) {
				t.Helper()
				address := w.ok("IpamDriver.RequestAddress", addressRequest(pools[network], "", mac))["Address"].(string)
				w.ok("NetworkDriver.CreateEndpoint", strings.Replace(endpointRequestOf(network, id, address, mac),
					`"Options":{`, fmt.Sprintf(`"Options":{%q:%q,`, test.option, container), 1))
			}
			publish := func(network, id string) string {
				return fmt.Sprintf(`{"NetworkID":%q,"EndpointID":%q,"Options":{%q:[{"Proto":6,"Port":80,"HostPort":8080}]}}`, network, id, optionPortMap)
			}
			published := func(at string, want int) {
				t.Helper()
				if got := len(w.control.attachments[at].GetPorts()); got != want {
					t.Errorf("%s publishes %d ports, want %d", at, got, want)
				}
			}
			const program = "NetworkDriver.ProgramExternalConnectivity"
			endpoint("n1", "e1", mac1, test.first)
			endpoint("n2", "e2", mac1, test.first)
			endpoint("n2", "e3", mac2, test.second)
			w.ok(program, publish("n1", "e1"))
			w.refused(program, publish("n2", "e2"), "8080 is published")

			if code, _ := w.post(program, ""); code != http.StatusBadRequest {
				t.Fatalf("a call without a body: %d, want %d", code, http.StatusBadRequest)
			}
			w.refused(program, publish("n2", "e3"), "8080 is published")
			published("mac-024200000001.n1", 1)
			w.ok(program, publish("n2", "e2"))
			published("mac-024200000001.n1", 0)
			published("mac-024200000001.n2", 1)

			w.clock = w.clock.Add(takesOver + time.Second)
			w.refused(program, publish("n1", "e1"), "8080 is published")
			published("mac-024200000001.n2", 1)
		})
	}
}

// dualEngine is what an engine of version 28 or later does with a container that is
// on several networks: each family has an endpoint as its gateway.
type dualEngine struct {
	w     *world
	ports string // of the portmap
	on    []*dualEndpoint
}

type dualEndpoint struct {
	network string
	offers  families
	told    families
	joined  bool // is on it now
}

func (e *dualEngine) gateways() (gw4, gw6 *dualEndpoint) {
	for _, ep := range e.on { // by priority
		if ep.joined && ep.offers.ipv4 && gw4 == nil {
			gw4 = ep
		}
		if ep.joined && ep.offers.ipv6 && gw6 == nil {
			gw6 = ep
		}
	}
	return gw4, gw6
}

// program is what an engine does of driver.ProgramExternalConnectivity.
func (e *dualEngine) program(ep, gw4, gw6 *dualEndpoint) {
	e.w.t.Helper()
	is := families{ep == gw4, ep == gw6}
	if ep == nil || ep.told == is {
		return
	}
	ep.told = is
	id := "e-" + ep.network
	if is == (families{}) {
		e.w.ok("NetworkDriver.RevokeExternalConnectivity", ids(ep.network, id))
		return
	}
	apart := ""
	if !is.ipv6 && gw6 != nil {
		apart = fmt.Sprintf(`,%q:true`, optionApart)
	}
	e.w.ok("NetworkDriver.ProgramExternalConnectivity", fmt.Sprintf(`{"NetworkID":%q,"EndpointID":%q,"Options":{%q:[%s]%s}}`, ep.network, id, optionPortMap, e.ports, apart))
}

func (e *dualEngine) join(ep *dualEndpoint, mac string) {
	e.w.t.Helper()
	before4, before6 := e.gateways()
	i := &endpointInterface{MacAddress: mac}
	for _, s := range e.w.control.networks[ep.network].GetSubnets() {
		cidr := netip.MustParsePrefix(s.GetCidr())
		a := netip.PrefixFrom(cidr.Addr().Next().Next(), cidr.Bits()).String()
		if cidr.Addr().Is4() {
			i.Address = a
		} else {
			i.AddressIPv6 = a
		}
	}
	if _, err := e.w.plugin.createEndpoint(e.w.t.Context(), createEndpointRequest{
		NetworkID: ep.network, EndpointID: "e-" + ep.network, Interface: i, Options: map[string]any{OptionContainer: "c1"},
	}); err != nil {
		e.w.t.Fatal(err)
	}
	ep.joined = true
	if gw4, gw6 := e.gateways(); ep == gw4 || ep == gw6 {
		e.program(before4, gw4, gw6)
		e.program(before6, gw4, gw6)
	}
	gw4, gw6 := e.gateways()
	e.program(ep, gw4, gw6)
}

func (e *dualEngine) leave(ep *dualEndpoint) {
	e.w.t.Helper()
	e.program(ep, nil, nil)
	e.w.ok("NetworkDriver.DeleteEndpoint", ids(ep.network, "e-"+ep.network))
	ep.joined = false
	gw4, gw6 := e.gateways()
	e.program(gw4, gw4, gw6)
	e.program(gw6, gw4, gw6)
}

// published is the network by which the container's ports are published for one family;
// "" where they are not.
func (e *dualEngine) published(ipv4 bool) (out string) {
	e.w.control.mu.Lock()
	defer e.w.control.mu.Unlock()
	for _, a := range e.w.control.attachments {
		for _, p := range a.GetPorts() {
			if f := listens(a, p); ipv4 && f.ipv4 || !ipv4 && f.ipv6 {
				out += a.GetNetworkId()
			}
		}
	}
	return out
}

// Each family's ports are published by the endpoint that is its gateway, in whatever
// order networks are connected and disconnected.
func TestPortsOfFamilies(t *testing.T) {
	subnets := map[string]string{
		"four": `"IPv4Data":[{"Pool":"10.88.0.0/24","Gateway":"10.88.0.1/24"}]`,
		"six":  `"IPv6Data":[{"Pool":"fd00:1::/64","Gateway":"fd00:1::1/64"}]`,
		"dual": `"IPv4Data":[{"Pool":"10.89.0.0/24","Gateway":"10.89.0.1/24"}],"IPv6Data":[{"Pool":"fd00:2::/64","Gateway":"fd00:2::1/64"}]`,
		"twin": `"IPv4Data":[{"Pool":"10.90.0.0/24","Gateway":"10.90.0.1/24"}],"IPv6Data":[{"Pool":"fd00:3::/64","Gateway":"fd00:3::1/64"}]`,
	}
	offers := map[string]families{"four": {ipv4: true}, "six": {ipv6: true}, "dual": {true, true}, "twin": {true, true}}
	for _, c := range []struct {
		ports        string
		asks4, asks6 bool
	}{
		{`{"Proto":6,"Port":80,"HostPort":8080}`, true, true},
		{`{"Proto":6,"Port":80}`, true, true},
		{`{"Proto":6,"Port":80,"HostIP":"127.0.0.1","HostPort":8080}`, true, false},
		{`{"Proto":6,"Port":80,"HostPort":8080,"HostIP":"0.0.0.0"},{"Proto":6,"Port":80,"HostPort":8080,"HostIP":"::"}`, true, true},
	} {
		for _, order := range [][]string{{"four", "dual"}, {"six", "dual"}, {"four", "six", "dual"}, {"six", "four", "twin", "dual"}, {"four", "twin", "dual"}} {
			for first := range order {
				if strings.Contains(c.ports, "::") && order[first] == "four" {
					continue // refused, for the engine would relay it
				}
				t.Run(fmt.Sprint(c.ports, order, first), func(t *testing.T) {
					w := newWorld(t)
					e := &dualEngine{w: w, ports: c.ports}
					for _, n := range order {
						w.ok("NetworkDriver.CreateNetwork", fmt.Sprintf(`{"NetworkID":%q,"Options":{},%s}`, n, subnets[n]))
						e.on = append(e.on, &dualEndpoint{network: n, offers: offers[n]})
					}
					check := func() {
						t.Helper()
						gw4, gw6 := e.gateways()
						want4, want6 := "", ""
						if gw4 != nil && c.asks4 {
							want4 = gw4.network
						}
						if gw6 != nil && c.asks6 {
							want6 = gw6.network
						}
						if got4, got6 := e.published(true), e.published(false); got4 != want4 || got6 != want6 {
							t.Fatalf("IPv4 ports are published by %q, IPv6 ones by %q; want %q and %q:\n%s", got4, got6, want4, want6, w.control.state())
						}
					}
					for i := range e.on {
						e.join(e.on[(first+i)%len(e.on)], fmt.Sprintf("02:42:00:00:00:%02x", i))
						check()
					}
					for i := range e.on {
						ep := e.on[(first+i)%len(e.on)]
						e.leave(ep)
						check()
						w.plugin.removals.await(t.Context(), "")
						e.join(ep, fmt.Sprintf("02:42:00:00:01:%02x", i))
						check()
						w.restart()
					}
					for _, ep := range e.on {
						e.leave(ep)
						check()
					}
				})
			}
		}
	}
}

// The first releases of version 28 say of both endpoints that there are two; and after
// a call that broke off, another endpoint may publish what it was not to.
func TestWayTold(t *testing.T) {
	both, four, six := families{true, true}, families{ipv4: true}, families{ipv6: true}
	on := func(f families) []attachment { return []attachment{{notes: notes{noteWay: f.note()}}} }
	for _, c := range []struct {
		offers, had     families
		others          []attachment
		apart, brokeOff bool
		want            families
	}{
		{offers: both, others: on(four), apart: true, want: six},
		{offers: both, others: on(six), apart: true, want: four},
		{offers: four, others: on(six), apart: true, want: four},
		{offers: six, others: on(four), apart: true, want: six},
		{offers: both, had: six, want: both},
		{offers: both, others: on(four), apart: true, brokeOff: true, want: four},
		{offers: both, had: six, others: on(four), brokeOff: true, want: both},
		{offers: both, others: on(both), brokeOff: true, want: both},
	} {
		if got := wayTold(c.offers, c.had, c.others, c.apart, c.brokeOff); got != c.want {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

// A container whose engine keeps IPv6 from it, on a network that has it, is reached by
// IPv4 alone.
func TestPortsWithoutIPv6(t *testing.T) {
	w := newWorld(t)
	var said []string
	w.plugin.log = funcr.New(func(_, line string) { said = append(said, line) }, funcr.Options{})
	w.ok("NetworkDriver.CreateNetwork", `{"NetworkID":"n1","Options":{},"IPv4Data":[{"Pool":"10.88.0.0/24"}],"IPv6Data":[{"Pool":"fd00:88::/64"}]}`)
	w.ok("NetworkDriver.CreateEndpoint", endpointRequestOf("n1", "e1", "10.88.0.7/24", mac1))
	w.ok("NetworkDriver.ProgramExternalConnectivity", fmt.Sprintf(`{"NetworkID":"n1","EndpointID":"e1","Options":{%q:[
		{"Proto":6,"Port":80,"HostPort":8080},{"Proto":6,"Port":81,"HostPort":8081,"HostIP":"::"}]}}`, optionPortMap))
	if got := w.control.attachments["mac-024200000001.n1"].GetPorts(); len(got) != 1 || got[0].GetHostIp() != "0.0.0.0" || got[0].GetHostPort() != 8080 {
		t.Errorf("published %v, want 0.0.0.0:8080 alone", got)
	}
	var left []string
	for _, line := range said {
		if strings.Contains(line, "is not published") {
			left = append(left, line)
		}
	}
	if len(left) != 1 || !strings.Contains(left[0], `"hostIP"="::"`) || !strings.Contains(left[0], `"port"="81/tcp"`) {
		t.Errorf("of ports that are not published it says %q, want one line about :: and 81/tcp", left)
	}
}

// A network without IPv6 cannot be reached at the host's IPv6 addresses. Who asks for
// one is told so, by the names that he knows.
func TestPortsAtIPv6OfAnIPv4Network(t *testing.T) {
	w := newWorld(t)
	pool := w.network("n1", "10.88.0.0/24")
	w.endpoint("n1", pool, "e1", mac1)
	program := func(binding string) string {
		return fmt.Sprintf(`{"NetworkID":"n1","EndpointID":"e1","Options":{%q:[%s]}}`, optionPortMap, binding)
	}
	for _, says := range []string{`port 80/tcp cannot be published at host address "::": network n1 `, `has no IPv6 subnet; name an IPv4 address of the host, or none`} {
		w.refused("NetworkDriver.ProgramExternalConnectivity", program(`{"Proto":6,"Port":80,"HostIP":"::","HostPort":8080}`), says)
	}
	w.refused("NetworkDriver.ProgramExternalConnectivity", program(`{"Proto":6,"Port":80},{"Proto":17,"Port":53,"HostIP":"2001:db8::1"}`),
		`port 53/udp cannot be published at host address "2001:db8::1"`)
	w.ok("NetworkDriver.ProgramExternalConnectivity", program(`{"Proto":6,"Port":80,"HostPort":8080}`))
}
