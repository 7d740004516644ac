// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/go-logr/logr/testr"

	"github.com/vas-solutus/arca-network/internal/nettest"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
)

func TestMain(m *testing.M) { ovntest.Main(m) }

const portGroup = 7

// The addresses of a lab.
const (
	inet4, inet6   = "198.51.100.9", "2001:db8:51::9" // the world
	host4, host6   = "198.51.100.1", "2001:db8:51::1" // the host in the world
	web4, web6     = "10.88.0.2", "fd00:88::2"        // endpoints
	web2x4, web2x6 = "10.88.0.3", "fd00:88::3"
	db4, db6       = "10.89.0.2", "fd00:89::2"
	up4, up6       = "100.64.0.2", "fd64::2"
)

// lab is a host between the world and endpoints. The endpoints are addresses of
// one namespace, which stands for the router and all behind it.
type lab struct {
	t               *testing.T
	host, inet, eps *nettest.Namespace
	m               *Manager
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, host: nettest.Host(t), inet: nettest.New(t, "inet"), eps: nettest.New(t, "eps")}
	for _, n := range []*nettest.Namespace{l.host, l.inet, l.eps} {
		n.Sysctl("net/ipv6/conf/default/accept_dad", "0") // or IPv6 takes two seconds to begin
	}
	t.Cleanup(func() { // the host's namespace is that of all tests
		for _, link := range []string{"out0", "uplink0"} {
			l.host.IP("link del " + link)
		}
		nettest.Run(t, "nft", "flush", "ruleset")
	})
	l.host.IP("link add out0 type veth peer name eth0 netns inet")
	l.host.IP("addr add " + host4 + "/24 dev out0")
	l.host.IP("addr add " + host6 + "/64 dev out0 nodad")
	l.host.IP("link set out0 up")
	l.inet.IP("addr add " + inet4 + "/24 dev eth0")
	l.inet.IP("addr add " + inet6 + "/64 dev eth0 nodad")
	l.inet.IP("link set eth0 up")

	l.host.IP("link add uplink0 type veth peer name join0 netns eps")
	l.host.IP("addr add " + up4 + "/16 dev uplink0")
	l.host.IP("addr add " + up6 + "/64 dev uplink0 nodad")
	l.host.IP("link set uplink0 up")
	l.eps.IP("addr add 100.64.0.1/16 dev join0")
	l.eps.IP("addr add fd64::1/64 dev join0 nodad")
	l.eps.IP("link set join0 up")
	for _, a := range []string{web4, web2x4, db4} {
		l.eps.IP("addr add " + a + "/32 dev join0")
	}
	for _, a := range []string{web6, web2x6, db6} {
		l.eps.IP("addr add " + a + "/128 dev join0 nodad")
	}
	l.eps.IP("route add default via " + up4)
	l.eps.IP("-6 route add default via " + up6)
	for _, r := range []string{"10.88.0.0/24", "10.89.0.0/24"} {
		l.host.IP("route add " + r + " via 100.64.0.1")
	}
	for _, r := range []string{"fd00:88::/64", "fd00:89::/64"} {
		l.host.IP("-6 route add " + r + " via fd64::1")
	}
	for _, key := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		l.host.Sysctl("net/"+key, "0")
	}
	l.m = l.manager()
	return l
}

func (l *lab) manager() *Manager {
	l.t.Helper()
	m, err := New(Options{Uplink: "uplink0", PortGroup: portGroup, Log: testr.New(l.t),
		Addresses: []netip.Addr{netip.MustParseAddr(up4), netip.MustParseAddr(up6)}})
	if err != nil {
		l.t.Fatal(err)
	}
	return m
}

// apply applies a state and fails unless it is written, or not, as expected.
func (l *lab) apply(s State, changes bool) {
	l.t.Helper()
	changed, err := l.m.Apply(l.t.Context(), s)
	if err != nil {
		l.t.Fatal(err)
	}
	if changed != changes {
		l.t.Fatalf("changed: %v, want %v; now:\n%s", changed, changes, ruleset(l.t))
	}
}

func ruleset(t testing.TB) string { return nettest.Run(t, "nft", "list", "ruleset") }

func prefixes(s ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// port publishes one port; listen is an address of the host, target one of an endpoint.
func port(p Protocol, listen string, hostPort uint16, target string, targetPort uint16) Port {
	return Port{Protocol: p, Listen: netip.MustParseAddr(listen), First: hostPort, Last: hostPort,
		Target: netip.AddrPortFrom(netip.MustParseAddr(target), targetPort)}
}

// both calls fn for each family, as a subtest.
func both(t *testing.T, fn func(t *testing.T, is6 bool)) {
	for _, f := range []string{"IPv4", "IPv6"} {
		t.Run(f, func(t *testing.T) { fn(t, f == "IPv6") })
	}
}

// pick returns the address of a family.
func pick(is6 bool, four, six string) string {
	if is6 {
		return six
	}
	return four
}

func sysctl(t *testing.T, key string) string {
	t.Helper()
	raw, err := os.ReadFile("/proc/sys/net/" + key)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(raw))
}

// natted is a state in which both networks are masqueraded.
func natted(ports ...Port) State {
	return State{Masqueraded: prefixes("10.88.0.0/24", "10.89.0.0/24", "fd00:88::/64", "fd00:89::/64"), Ports: ports}
}
