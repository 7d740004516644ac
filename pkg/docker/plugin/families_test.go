// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"testing"
)

// TestGatewaysOfTwoFamilies: a container that is reached over IPv4 by one endpoint and
// over IPv6 by another has each port at each family once, in whatever order the engine
// tells of them.
func TestGatewaysOfTwoFamilies(t *testing.T) {
	const program, revoke = "NetworkDriver.ProgramExternalConnectivity", "NetworkDriver.RevokeExternalConnectivity"
	const both, local = `{"Proto":6,"Port":80,"HostPort":8080}`, `{"Proto":6,"Port":81,"HostIP":"127.0.0.1","HostPort":8081}`
	start := func(t *testing.T) (w *world, ports func(network, endpoint, ports string, apart bool) string, want func(at, ports string)) {
		w = newWorld(t)
		w.ok("IpamDriver.RequestPool", `{"Pool":"10.88.0.0/24"}`)
		w.ok("IpamDriver.RequestPool", `{"Pool":"10.89.0.0/24"}`)
		w.ok("IpamDriver.RequestPool", `{"Pool":"fd00:89::/64","V6":true}`)
		w.ok("IpamDriver.RequestPool", `{"Pool":"fd00:90::/64","V6":true}`)
		v4 := func(pool, gateway string) string {
			return fmt.Sprintf(`"IPv4Data":[{"AddressSpace":"arca","Pool":%q,"Gateway":%q}]`, pool, gateway)
		}
		v6 := func(pool, gateway string) string {
			return fmt.Sprintf(`"IPv6Data":[{"AddressSpace":"arca","Pool":%q,"Gateway":%q}]`, pool, gateway)
		}
		w.ok("NetworkDriver.CreateNetwork", `{"NetworkID":"only4","Options":{},`+v4("10.88.0.0/24", "10.88.0.1/24")+`}`)
		w.ok("NetworkDriver.CreateNetwork", `{"NetworkID":"dual","Options":{},`+v4("10.89.0.0/24", "10.89.0.1/24")+`,`+v6("fd00:89::/64", "fd00:89::1/64")+`}`)
		w.ok("NetworkDriver.CreateNetwork", `{"NetworkID":"only6","Options":{},`+v6("fd00:90::/64", "fd00:90::1/64")+`}`)
		for _, e := range [][4]string{
			{"only4", "e4", "10.88.0.20/24", ""}, {"dual", "e46", "10.89.0.20/24", "fd00:89::20/64"}, {"only6", "e6", "", "fd00:90::20/64"},
		} {
			w.ok("NetworkDriver.CreateEndpoint", fmt.Sprintf(`{"NetworkID":%q,"EndpointID":%q,"Options":{%q:"c1"},"Interface":{"Address":%q,"AddressIPv6":%q,"MacAddress":%q}}`,
				e[0], e[1], OptionContainer, e[2], e[3], mac1))
		}
		ports = func(network, endpoint, ports string, apart bool) string {
			option := ""
			if apart {
				option = fmt.Sprintf(`,%q:true`, optionNoProxy6To4)
			}
			return fmt.Sprintf(`{"NetworkID":%q,"EndpointID":%q,"Options":{%q:[%s]%s}}`, network, endpoint, optionPortMap, ports, option)
		}
		want = func(network, ports string) {
			t.Helper()
			for _, a := range w.control.attachments {
				if a.GetNetworkId() != network {
					continue
				}
				got := ""
				for _, p := range a.GetPorts() {
					got += fmt.Sprintf("%s:%d ", p.GetHostIp(), p.GetHostPort())
				}
				if got != ports {
					t.Errorf("on %s are published %q, want %q", network, got, ports)
				}
				return
			}
			t.Errorf("nothing is attached to %s", network)
		}
		return w, ports, want
	}
	t.Run("the one of IPv6 comes second", func(t *testing.T) {
		w, ports, want := start(t)
		w.ok(program, ports("only4", "e4", both+","+local, false))
		w.ok(program, ports("dual", "e46", both+","+local, false))
		want("only4", ":8080 127.0.0.1:8081 ")
		want("dual", ":::8080 ")
		w.ok(revoke, ids("only4", "e4"))
		w.ok(program, ports("dual", "e46", both+","+local, false))
		want("dual", ":8080 127.0.0.1:8081 ")
	})
	t.Run("the one of IPv6 comes first", func(t *testing.T) {
		w, ports, want := start(t)
		w.ok(program, ports("dual", "e46", both+","+local, false))
		w.ok(program, ports("only4", "e4", both+","+local, true))
		want("only4", "0.0.0.0:8080 127.0.0.1:8081 ")
		want("dual", ":::8080 ")
	})
	t.Run("a network of IPv6 alone", func(t *testing.T) {
		w, ports, want := start(t)
		w.ok(program, ports("dual", "e46", both+","+local, false))
		w.ok(program, ports("dual", "e46", both+","+local, true)) // told anew, as the other comes
		w.ok(program, ports("only6", "e6", both+","+local, false))
		want("dual", "0.0.0.0:8080 127.0.0.1:8081 ")
		want("only6", ":::8080 ")
	})
	t.Run("ports that are chosen", func(t *testing.T) {
		w, ports, want := start(t)
		w.ok(program, ports("only4", "e4", `{"Proto":6,"Port":80}`, false))
		w.ok(program, ports("dual", "e46", `{"Proto":6,"Port":80}`, false))
		for _, a := range w.control.attachments {
			if a.GetNetworkId() == "dual" {
				want("dual", fmt.Sprintf(":::%d ", a.GetPorts()[0].GetHostPort()))
			}
		}
	})
	t.Run("what another container has", func(t *testing.T) {
		w, ports, want := start(t)
		w.control.busy[8080] = true
		w.refused(program, ports("dual", "e46", both, false), "a process listens on 8080")
		want("dual", "")
	})
}
