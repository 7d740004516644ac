// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"strings"
	"testing"
	"time"

	"github.com/vas-solutus/arca-network/internal/nettest"
)

func TestMasqueradedEndpointsReachTheWorld(t *testing.T) {
	l := newLab(t)
	for _, network := range []string{"tcp", "udp"} {
		l.inet.Serve(network, "", 7000, "inet")
	}
	l.apply(natted(), true)
	both(t, func(t *testing.T, is6 bool) {
		for _, network := range []string{"tcp", "udp"} {
			l.eps.Reaches(network, pick(is6, web4, web6), pick(is6, inet4, inet6), 7000, "inet "+pick(is6, host4, host6))
		}
	})
}

func TestRoutedEndpointsKeepTheirAddress(t *testing.T) {
	l := newLab(t)
	l.inet.Serve("tcp", "", 7000, "inet")
	l.eps.Serve("tcp", "", 7000, "eps")
	l.inet.IP("route add 10.88.0.0/24 via " + host4)
	l.inet.IP("-6 route add fd00:88::/64 via " + host6)
	l.inet.IP("route add 10.89.0.0/24 via " + host4)
	l.inet.IP("-6 route add fd00:89::/64 via " + host6)
	l.apply(State{Routed: prefixes("10.88.0.0/24", "fd00:88::/64"), Masqueraded: prefixes("10.89.0.0/24", "fd00:89::/64")}, true)
	both(t, func(t *testing.T, is6 bool) {
		world, web, db := pick(is6, inet4, inet6), pick(is6, web4, web6), pick(is6, db4, db6)
		l.eps.Reaches("tcp", web, world, 7000, "inet "+web)
		l.inet.Reaches("tcp", "", web, 7000, "eps "+world)
		// A neighbour that routes to a masqueraded network gets nowhere.
		l.inet.Blocked("tcp", "", db, 7000)
	})
}

func TestClosedAndIsolatedEndpointsDoNotReachTheWorld(t *testing.T) {
	l := newLab(t)
	l.inet.Serve("tcp", "", 7000, "inet")
	l.inet.Serve("udp", "", 7000, "inet")
	l.apply(State{Closed: prefixes("10.88.0.0/24", "fd00:88::/64"), Isolated: prefixes("10.89.0.0/24", "fd00:89::/64")}, true)
	both(t, func(t *testing.T, is6 bool) {
		for _, from := range []string{pick(is6, web4, web6), pick(is6, db4, db6)} {
			l.eps.Blocked("tcp", from, pick(is6, inet4, inet6), 7000)
			l.eps.Blocked("udp", from, pick(is6, inet4, inet6), 7000)
		}
	})
}

// TestModeChangeCutsConnections: what a network may no longer do ends, also
// where it had begun.
func TestModeChangeCutsConnections(t *testing.T) {
	l := newLab(t)
	l.inet.Serve("tcp", "", 7000, "inet")
	l.apply(natted(), true)
	both(t, func(t *testing.T, is6 bool) {
		l.apply(natted(), false)
		c, err := l.eps.Dial("tcp", pick(is6, web4, web6), pick(is6, inet4, inet6), 7000, 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := c.Ask(2 * time.Second); err != nil {
			t.Fatal(err)
		}
		l.apply(State{Closed: natted().Masqueraded}, true)
		if got, err := c.Ask(500 * time.Millisecond); err == nil {
			t.Errorf("the connection goes on: %q", got)
		}
		l.apply(natted(), true)
	})
}

func TestHostIsNotReachableFromEndpoints(t *testing.T) {
	l := newLab(t)
	l.host.Serve("tcp", "", 22, "host")
	l.host.Serve("udp", "", 5353, "host")
	l.host.Serve("tcp", "127.0.0.1", 2375, "host")
	for _, network := range []string{"tcp", "udp"} {
		l.host.Serve(network, up4, 53, "dns")
		l.host.Serve(network, up6, 53, "dns")
	}
	l.apply(natted(), true)
	both(t, func(t *testing.T, is6 bool) {
		web, up := pick(is6, web4, web6), pick(is6, up4, up6)
		for _, to := range []string{up, pick(is6, host4, host6)} {
			l.eps.Blocked("tcp", web, to, 22)
			l.eps.Blocked("udp", web, to, 5353)
		}
		l.eps.Blocked("tcp", web, pick(is6, host4, host6), 53)
		for _, network := range []string{"tcp", "udp"} {
			l.eps.Reaches(network, web, up, 53, "dns "+web)
			// The name server is for endpoints.
			l.inet.IP(pick(is6, "route", "-6 route") + " replace " + up + " via " + pick(is6, host4, host6))
			l.inet.Blocked(network, "", up, 53)
		}
		// The host reaches endpoints.
		s := l.eps.Serve("tcp", web, 0, "web")
		l.host.Reaches("tcp", "", web, s.Port, "web "+up)
		s.Close()
	})
	// Loopback addresses from a container that has a route for them.
	l.eps.Sysctl("net/ipv4/conf/join0/route_localnet", "1")
	l.eps.Sysctl("net/ipv4/conf/all/rp_filter", "0")
	l.eps.Sysctl("net/ipv4/conf/join0/rp_filter", "0")
	l.eps.IP("route del local 127.0.0.0/8 dev lo table local")
	l.eps.IP("route del local 127.0.0.1 dev lo table local")
	l.eps.IP("route add 127.0.0.1/32 via " + up4)
	if got := sysctl(t, "ipv4/conf/uplink0/route_localnet"); got != "1" {
		t.Fatalf("route_localnet of the uplink is %s: the test shows nothing", got)
	}
	l.eps.Blocked("tcp", web4, "127.0.0.1", 2375)
}

func TestNetworksDoNotReachEachOtherThroughTheHost(t *testing.T) {
	l := newLab(t)
	// Another namespace is the other network, behind the same interface.
	other := nettest.New(t, "other")
	l.eps.IP("link add o0 type veth peer name eth0 netns other")
	l.eps.IP("link set o0 up")
	l.eps.Sysctl("net/ipv4/ip_forward", "1")
	l.eps.Sysctl("net/ipv6/conf/all/forwarding", "1")
	l.eps.IP("addr add 10.77.0.1/24 dev o0")
	l.eps.IP("addr add fd00:77::1/64 dev o0 nodad")
	other.IP("addr add 10.77.0.2/24 dev eth0")
	other.IP("addr add fd00:77::2/64 dev eth0 nodad")
	other.IP("link set eth0 up")
	other.IP("route add default via 10.77.0.1")
	other.IP("-6 route add default via fd00:77::1")
	l.host.IP("route add 10.77.0.0/24 via 100.64.0.1")
	l.host.IP("-6 route add fd00:77::/64 via fd64::1")
	other.Serve("tcp", "", 80, "other")
	// All that eps sends goes to the host first.
	l.eps.IP("route del 10.77.0.0/24 dev o0")
	l.eps.IP("route add 10.77.0.0/24 dev o0 metric 5 table 100")
	l.eps.IP("rule add iif join0 lookup 100 pref 10")
	l.eps.IP("-6 route add fd00:77::/64 dev o0 metric 5 table 100")
	l.eps.IP("-6 route del fd00:77::/64 dev o0")
	l.eps.IP("-6 rule add iif join0 lookup 100 pref 10")
	s := natted()
	s.Routed = prefixes("10.77.0.0/24", "fd00:77::/64")
	l.apply(s, true)
	both(t, func(t *testing.T, is6 bool) {
		l.host.Reaches("tcp", "", pick(is6, "10.77.0.2", "fd00:77::2"), 80, "other "+pick(is6, up4, up6))
		l.eps.Blocked("tcp", pick(is6, web4, web6), pick(is6, "10.77.0.2", "fd00:77::2"), 80)
	})
}

// TestNothingEntersBySideOfDatapath: what a container sends comes in by the
// device of its port too, with whatever addresses it likes. It must end there.
func TestNothingEntersBySideOfDatapath(t *testing.T) {
	l := newLab(t)
	guest := nettest.New(t, "guest")
	l.host.IP("link add port0 type veth peer name eth0 netns guest")
	l.host.IP("link set port0 address 02:00:00:00:00:01 group 7 up")
	t.Cleanup(func() { l.host.IP("link del port0") })
	l.host.IP("route add 10.88.0.9 dev port0") // the host would even answer
	l.host.IP("-6 route add fd00:88::9 dev port0")
	guest.IP("addr add 10.88.0.9/32 dev eth0")
	guest.IP("addr add fd00:88::9/128 dev eth0 nodad")
	guest.IP("link set eth0 up")
	for _, a := range []string{host4, host6} {
		guest.IP("route add " + a + " dev eth0")
		guest.IP("neigh add " + a + " lladdr 02:00:00:00:00:01 dev eth0")
	}
	l.host.Serve("tcp", "", 80, "host")
	both(t, func(t *testing.T, is6 bool) {
		guest.Reaches("tcp", "", pick(is6, host4, host6), 80, "host "+pick(is6, "10.88.0.9", "fd00:88::9"))
	})
	l.apply(natted(), true)
	both(t, func(t *testing.T, is6 bool) {
		guest.Blocked("tcp", "", pick(is6, host4, host6), 80)
	})
	l.apply(natted(), false)
}

// TestErrorsComeThrough: errors of the host and of routers beyond it.
func TestErrorsComeThrough(t *testing.T) {
	l := newLab(t)
	far := nettest.New(t, "far")
	l.inet.IP("link add f0 type veth peer name eth0 netns far")
	l.inet.IP("link set f0 mtu 1300 up")
	l.inet.IP("addr add 203.0.113.1/24 dev f0")
	l.inet.IP("addr add 2001:db8:71::1/64 dev f0 nodad")
	l.inet.Sysctl("net/ipv4/ip_forward", "1")
	l.inet.Sysctl("net/ipv6/conf/all/forwarding", "1")
	far.IP("addr add 203.0.113.9/24 dev eth0")
	far.IP("addr add 2001:db8:71::9/64 dev eth0 nodad")
	far.IP("link set eth0 mtu 1300 up")
	far.IP("route add default via 203.0.113.1")
	far.IP("-6 route add default via 2001:db8:71::1")
	l.host.IP("route add default via " + inet4)
	l.host.IP("-6 route add default via " + inet6)
	l.apply(natted(), true)
	both(t, func(t *testing.T, is6 bool) {
		web, target := pick(is6, web4, web6), pick(is6, "203.0.113.9", "2001:db8:71::9")
		ping := func(size string) string {
			out := ""
			_ = l.eps.Do(func() error {
				out = pingOnce(web, target, size)
				return nil
			})
			return out
		}
		if out := ping("100"); !strings.Contains(out, " 0% packet loss") {
			t.Fatalf("no way: %s", out)
		}
		if out := ping("1400"); !strings.Contains(out, "1300") {
			t.Errorf("a router's word on the path MTU does not arrive: %s", out)
		}
		if out, _ := l.eps.Ask("udp", web, target, 9999, time.Second); out != "" {
			t.Fatal(out)
		}
		if _, err := l.eps.Ask("udp", web, target, 9999, 2*time.Second); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("the error of a closed port does not arrive: %v", err)
		}
		// The host's own: its way out is narrow.
		l.host.IP("link set out0 mtu 1290")
		if out := ping(pick(is6, "1270", "1248")); !strings.Contains(out, "1290") {
			t.Errorf("the host's word on the path MTU does not arrive: %s", out)
		}
		l.host.IP("link set out0 mtu 1500")
	})
}
