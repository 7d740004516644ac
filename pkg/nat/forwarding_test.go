// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vas-solutus/arca-network/internal/nettest"
)

func TestDecideForwarding(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     switches
		was    []string
		quiet  []string
		writes string
	}{
		{name: "a host that forwards nothing",
			in:    switches{family: ip4, single: true, uplink: true, links: []hostLink{{name: "eth0"}, {name: "eth1"}}},
			quiet: []string{"eth0", "eth1"}, writes: "uplink0/route_localnet=1 eth0/forwarding=1 eth1/forwarding=1 uplink0/forwarding=1"},
		{name: "nothing to do any more",
			in:  switches{family: ip4, single: true, uplink: true, upOn: true, local: true, links: []hostLink{{name: "eth0", forwards: true}}},
			was: []string{"eth0"}, quiet: []string{"eth0"}},
		{name: "an interface that forwards by the host's own will",
			in:    switches{family: ip4, single: true, links: []hostLink{{name: "eth0", forwards: true}, {name: "eth1"}}},
			quiet: []string{"eth1"}, writes: "eth1/forwarding=1"},
		{name: "a host that forwards",
			in: switches{family: ip4, single: true, all: true, uplink: true, local: true, links: []hostLink{{name: "eth0", forwards: true}}}},
		{name: "a host that has begun to forward",
			in:  switches{family: ip4, single: true, all: true, links: []hostLink{{name: "eth0", forwards: true}}},
			was: []string{"eth0"}},
		{name: "an interface that is gone",
			in: switches{family: ip4, single: true}, was: []string{"eth0"}},
		{name: "IPv6, one by one",
			in:    switches{family: ip6, single: true, uplink: true, links: []hostLink{{name: "eth0", acceptRA: "1"}}},
			quiet: []string{"eth0"}, writes: "eth0/force_forwarding=1 uplink0/force_forwarding=1"},
		{name: "IPv6, all at once",
			in:    switches{family: ip6, uplink: true, links: []hostLink{{name: "eth0", acceptRA: "1"}, {name: "eth1", acceptRA: "0"}}},
			quiet: []string{"eth0", "eth1"}, writes: "eth0/accept_ra=2 all/forwarding=1"},
		{name: "IPv6, all at once, done, and another interface came",
			in:  switches{family: ip6, all: true, uplink: true, links: []hostLink{{name: "eth0", forwards: true}, {name: "docker0", forwards: true}}},
			was: []string{"eth0"}, quiet: []string{"eth0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			was := map[string]string{}
			for _, n := range c.was {
				was[nameKey(n)] = ""
			}
			quiet, write := decideForwarding(c.in, "uplink0", was)
			var got []string
			for k := range maps.Keys(quiet) {
				got = append(got, strings.TrimRight(k, "\x00"))
			}
			slices.Sort(got)
			if !slices.Equal(got, c.quiet) {
				t.Errorf("quiet: %v, want %v", got, c.quiet)
			}
			var writes []string
			for _, s := range write {
				parts := strings.Split(s.path, "/")
				writes = append(writes, fmt.Sprintf("%s=%s", strings.Join(parts[len(parts)-2:], "/"), s.value))
			}
			if got := strings.Join(writes, " "); got != c.writes {
				t.Errorf("writes: %s, want %s", got, c.writes)
			}
		})
	}
}

// TestHostDoesNotBecomeARouter: two neighbours do not reach each other through
// the host because it forwards for endpoints; where it did before, they still do.
func TestHostDoesNotBecomeARouter(t *testing.T) {
	l := newLab(t)
	lan := nettest.New(t, "lan")
	l.host.IP("link add lan0 type veth peer name eth0 netns lan")
	t.Cleanup(func() { l.host.IP("link del lan0") })
	l.host.IP("addr add 192.168.9.1/24 dev lan0")
	l.host.IP("addr add 2001:db8:9::1/64 dev lan0 nodad")
	l.host.IP("link set lan0 up")
	lan.IP("addr add 192.168.9.9/24 dev eth0")
	lan.IP("addr add 2001:db8:9::9/64 dev eth0 nodad")
	lan.IP("link set eth0 up")
	lan.IP("route add default via 192.168.9.1")
	lan.IP("-6 route add default via 2001:db8:9::1")
	l.inet.IP("route add 192.168.9.0/24 via " + host4)
	l.inet.IP("-6 route add 2001:db8:9::/64 via " + host6)
	l.inet.Serve("tcp", "", 7000, "inet")
	l.apply(natted(), true)
	both(t, func(t *testing.T, is6 bool) {
		l.eps.Reaches("tcp", pick(is6, web4, web6), pick(is6, inet4, inet6), 7000, "inet "+pick(is6, host4, host6))
		lan.Blocked("tcp", "", pick(is6, inet4, inet6), 7000)
	})
	// The host is told to forward, by Docker or by a person.
	l.host.Sysctl("net/ipv4/ip_forward", "1")
	l.host.Sysctl("net/ipv6/conf/all/forwarding", "1")
	l.apply(natted(), true)
	both(t, func(t *testing.T, is6 bool) {
		lan.Reaches("tcp", "", pick(is6, inet4, inet6), 7000, "inet "+pick(is6, "192.168.9.9", "2001:db8:9::9"))
	})
	l.apply(natted(), false)
}

// TestNothingIsSwitchedWithoutNeed: no network, no forwarding.
func TestNothingIsSwitchedWithoutNeed(t *testing.T) {
	l := newLab(t)
	l.host.Sysctl("net/ipv4/conf/out0/forwarding", "0")
	l.apply(State{Isolated: prefixes("10.88.0.0/24")}, true)
	if got := sysctl(t, "ipv4/conf/out0/forwarding") + sysctl(t, "ipv4/conf/uplink0/forwarding"); got != "00" {
		t.Errorf("forwarding is %s", got)
	}
	l.apply(State{Masqueraded: prefixes("10.88.0.0/24")}, true)
	if got := sysctl(t, "ipv4/conf/out0/forwarding") + sysctl(t, "ipv4/ip_forward") + sysctl(t, "ipv6/conf/all/forwarding"); got != "100" {
		t.Errorf("forwarding is %s", got)
	}
}
