// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

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
		{name: "an interface that has lost its address",
			in:  switches{family: ip4, single: true, links: []hostLink{{name: "eth0", forwards: true, bare: true}}},
			was: []string{"eth0"}, quiet: []string{"eth0"}},
		{name: "an interface that has lost its address and no longer forwards",
			in:  switches{family: ip4, single: true, links: []hostLink{{name: "eth0", bare: true}}},
			was: []string{"eth0"}},
		{name: "IPv6, one by one",
			in:    switches{family: ip6, single: true, uplink: true, links: []hostLink{{name: "eth0", acceptRA: "1"}}},
			quiet: []string{"eth0"}, writes: "eth0/force_forwarding=1 uplink0/force_forwarding=1"},
		{name: "IPv6, all at once",
			in:    switches{family: ip6, uplink: true, links: []hostLink{{name: "eth0", acceptRA: "1"}, {name: "eth1", acceptRA: "0"}}},
			quiet: []string{"eth0", "eth1"}, writes: "eth0/accept_ra=2 all/forwarding=1"},
		{name: "IPv6, all at once, and interfaces whose addresses have not come yet",
			in: switches{family: ip6, defaultRA: "1", links: []hostLink{
				{name: "eth0", bare: true, acceptRA: "1"}, {name: "eth1", bare: true, acceptRA: "2"},
				{name: "docker0", bare: true, acceptRA: "0"}, {name: "eth2", bare: true, acceptRA: "1", forwards: true}}},
			quiet: []string{"eth0", "eth1"}, writes: "default/accept_ra=2 eth0/accept_ra=2 all/forwarding=1"},
		{name: "IPv6, all at once, and an interface that is a router's but could not forward",
			in:    switches{family: ip6, links: []hostLink{{name: "eth0", acceptRA: "1", forwards: true}}},
			quiet: []string{"eth0"}, writes: "all/forwarding=1"},
		{name: "IPv6, all at once, switched off by somebody while an interface is away",
			in: switches{family: ip6, links: []hostLink{{name: "eth1", acceptRA: "2"}}}, was: []string{"eth0"},
			quiet: []string{"eth0", "eth1"}, writes: "all/forwarding=1"},
		{name: "IPv6, all at once, by the host's own will",
			in: switches{family: ip6, all: true, links: []hostLink{{name: "eth0", forwards: true, acceptRA: "2"}}}},
		{name: "IPv6, all at once, done, and another interface came",
			in:  switches{family: ip6, all: true, uplink: true, links: []hostLink{{name: "eth0", forwards: true}, {name: "docker0", forwards: true}}},
			was: []string{"eth0"}, quiet: []string{"eth0"}},
		{name: "IPv6, all at once, done, and an interface is away",
			in: switches{family: ip6, all: true}, was: []string{"eth0"}, quiet: []string{"eth0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			quiet, write := decideForwarding(c.in, "uplink0", namesOf(c.was))
			var got []string
			for k := range maps.Keys(quiet) {
				got = append(got, keyName(k))
			}
			slices.Sort(got)
			if !slices.Equal(got, c.quiet) {
				t.Errorf("quiet: %v, want %v", got, c.quiet)
			}
			if got := wordsOf(write); got != c.writes {
				t.Errorf("writes: %s, want %s", got, c.writes)
			}
		})
	}
}

func TestGiveBack(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     switches
		was    []string
		writes string
	}{
		{name: "nothing is ours", in: switches{family: ip4, single: true}},
		{name: "one by one", in: switches{family: ip4, single: true}, was: []string{"eth1", "eth0"},
			writes: "eth0/forwarding=0 eth1/forwarding=0"},
		{name: "a host that has begun to forward", in: switches{family: ip4, single: true, all: true}, was: []string{"eth0"}},
		{name: "IPv6, one by one", in: switches{family: ip6, single: true}, was: []string{"eth0"},
			writes: "eth0/force_forwarding=0"},
		{name: "IPv6, a host that has begun to forward", in: switches{family: ip6, single: true, all: true}, was: []string{"eth0"}},
		{name: "IPv6, all at once", in: switches{family: ip6, all: true}, was: []string{"eth0", "eth1"}, writes: "all/forwarding=0"},
		{name: "IPv6, all at once, by the host's own will", in: switches{family: ip6, all: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := wordsOf(giveBack(c.in, namesOf(c.was))); got != c.writes {
				t.Errorf("writes: %s, want %s", got, c.writes)
			}
		})
	}
}

// namesOf is a set of interfaces as the kernel has it.
func namesOf(names []string) map[string]string {
	out := map[string]string{}
	for _, n := range names {
		out[nameKey(n)] = ""
	}
	return out
}

// wordsOf are settings as "interface/key=value".
func wordsOf(write []setting) string {
	var out []string
	for _, s := range write {
		parts := strings.Split(s.path, "/")
		out = append(out, fmt.Sprintf("%s=%s", strings.Join(parts[len(parts)-2:], "/"), s.value))
	}
	return strings.Join(out, " ")
}

// TestHostDoesNotBecomeARouter: two neighbours do not reach each other through
// the host because it forwards for endpoints; where it did before, they still do.
func TestHostDoesNotBecomeARouter(t *testing.T) {
	l := newLab(t)
	lan := l.neighbour()
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

// neighbour is a host in another network of the host, which it takes for a
// router. So does the world.
func (l *lab) neighbour() *nettest.Namespace {
	l.t.Helper()
	lan := nettest.New(l.t, "lan")
	l.host.IP("link add lan0 type veth peer name eth0 netns lan")
	l.t.Cleanup(func() { l.host.IP("link del lan0") })
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
	return lan
}

// TestQuietWithoutItsAddress: an interface that loses its address for a moment
// is as quiet afterwards as before.
func TestQuietWithoutItsAddress(t *testing.T) {
	l := newLab(t)
	lan := l.neighbour()
	l.inet.Serve("tcp", "", 7000, "inet")
	l.apply(natted(), true)
	quiet := normal(t)
	l.host.IP("addr flush dev lan0 scope global")
	l.apply(natted(), false)
	l.host.IP("addr add 192.168.9.1/24 dev lan0")
	l.host.IP("addr add 2001:db8:9::1/64 dev lan0 nodad")
	l.host.IP("-6 route replace 2001:db8:9::/64 dev lan0")
	l.apply(natted(), false)
	if got := normal(t); got != quiet {
		t.Errorf("got:\n%s\nwant:\n%s", got, quiet)
	}
	both(t, func(t *testing.T, is6 bool) {
		lan.Blocked("tcp", "", pick(is6, inet4, inet6), 7000)
	})
	// The next manager knows no more than the table says.
	l.host.IP("addr flush dev lan0 scope global")
	l.m = l.manager()
	l.apply(natted(), false)
}

// TestHostIsNoRouterAfterwards: without the table the host forwards as little as
// before it, and the next manager begins as the first did.
func TestHostIsNoRouterAfterwards(t *testing.T) {
	l := newLab(t)
	lan := l.neighbour()
	l.inet.Serve("tcp", "", 7000, "inet")
	l.apply(natted(), true)
	quiet := normal(t)
	l.m = l.manager() // it is another process that removes the table
	if err := l.m.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	both(t, func(t *testing.T, is6 bool) {
		lan.Blocked("tcp", "", pick(is6, inet4, inet6), 7000)
	})
	l.m = l.manager()
	l.apply(natted(), true)
	if got := normal(t); got != quiet {
		t.Errorf("got:\n%s\nwant:\n%s", got, quiet)
	}
	both(t, func(t *testing.T, is6 bool) {
		lan.Blocked("tcp", "", pick(is6, inet4, inet6), 7000)
	})
	// The host has begun to forward since the last look at it: that stays.
	l.host.Sysctl("net/ipv4/ip_forward", "1")
	l.host.Sysctl("net/ipv6/conf/all/forwarding", "1")
	if err := l.m.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	both(t, func(t *testing.T, is6 bool) {
		lan.Reaches("tcp", "", pick(is6, inet4, inet6), 7000, "inet "+pick(is6, "192.168.9.9", "2001:db8:9::9"))
	})
}

// TestHostForwardsForAWhile: a host that forwarded by its own will and no longer
// does is as quiet as before. The kernel sees to it, with every switch that it
// resets.
func TestHostForwardsForAWhile(t *testing.T) {
	l := newLab(t)
	lan := l.neighbour()
	l.inet.Serve("tcp", "", 7000, "inet")
	l.apply(natted(), true)
	quiet := normal(t)
	for _, on := range []string{"1", "0"} {
		l.host.Sysctl("net/ipv4/ip_forward", on)
		l.host.Sysctl("net/ipv6/conf/all/forwarding", on)
		l.apply(natted(), true)
	}
	if got := normal(t); got != quiet {
		t.Errorf("got:\n%s\nwant:\n%s", got, quiet)
	}
	both(t, func(t *testing.T, is6 bool) {
		lan.Blocked("tcp", "", pick(is6, inet4, inet6), 7000)
	})
}

// TestAdvertisementsAreStillAccepted: where IPv6 can only be switched for all, an
// interface that has no address yet still learns it from router advertisements,
// and so does one that comes later. It does not become one that forwards for others.
func TestAdvertisementsAreStillAccepted(t *testing.T) {
	l := newLab(t)
	t.Cleanup(func() {
		for _, key := range []string{"all/forwarding", "default/forwarding"} {
			l.host.Sysctl("net/ipv6/conf/"+key, "0")
		}
		l.host.Sysctl("net/ipv6/conf/default/accept_ra", "1")
	})
	addrs, done := make(chan netlink.AddrUpdate, 100), make(chan struct{})
	t.Cleanup(func() { close(done) })
	if err := netlink.AddrSubscribe(addrs, done); err != nil {
		t.Fatal(err)
	}
	early := l.advertiser("early", "2001:db8:1::")
	l.host.IP("link add port0 group " + fmt.Sprint(portGroup) + " type veth peer name port0p")
	t.Cleanup(func() { l.host.IP("link del port0") })

	s, err := observeAs(ip6, l.m.options, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	quiet, write := decideForwarding(s, "uplink0", nil)
	if err := writeSettings(write); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"early0": true, "out0": true, "uplink0": false, "port0": false, "lo": false} {
		if _, got := quiet[nameKey(name)]; got != want {
			t.Errorf("%s is quiet: %v, want %v", name, got, want)
		}
	}
	if got := sysctl(t, "ipv6/conf/all/forwarding") + sysctl(t, "ipv6/conf/uplink0/accept_ra") + sysctl(t, "ipv6/conf/port0/accept_ra"); got != "111" {
		t.Errorf("forwarding for all, and whether uplink0 and port0 accept advertisements: %s, want 111", got)
	}
	late := l.advertiser("late", "2001:db8:2::")
	for _, advertise := range []func() netip.Prefix{early, late} {
		prefix := advertise()
		again, limit := time.NewTicker(100*time.Millisecond), time.After(10*time.Second)
		for found := false; !found; {
			select {
			case a := <-addrs:
				addr, _ := netip.AddrFromSlice(a.LinkAddress.IP)
				found = a.NewAddr && prefix.Contains(addr)
			case <-again.C: // the link may not have been ready
				advertise()
			case <-limit:
				t.Fatalf("no address of %s: advertisements are not accepted", prefix)
			}
		}
		again.Stop()
	}
}

// advertiser makes a router on a link of its own to the host, which has no
// address there. What it returns sends a router advertisement of a /64.
func (l *lab) advertiser(name, network string) func() netip.Prefix {
	l.t.Helper()
	ns := nettest.New(l.t, name)
	ns.Sysctl("net/ipv6/conf/default/accept_dad", "0")
	l.host.IP("link add " + name + "0 type veth peer name eth0 netns " + name)
	l.t.Cleanup(func() { l.host.IP("link del " + name + "0") })
	ns.IP("link set eth0 up")
	l.host.IP("link set " + name + "0 up")
	prefix := netip.PrefixFrom(netip.MustParseAddr(network), 64)
	message := []byte{134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, // lifetime 1800 s
		3, 4, 64, 0xc0, 0, 0, 14, 16, 0, 0, 7, 8, 0, 0, 0, 0} // on the link, to make addresses of
	message = append(message, prefix.Addr().AsSlice()...)
	return func() netip.Prefix {
		l.t.Helper()
		if err := ns.Do(func() error {
			c, err := net.ListenPacket("ip6:ipv6-icmp", "::")
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }()
			raw, err := c.(*net.IPConn).SyscallConn()
			if err != nil {
				return err
			}
			var optionErr error
			err = raw.Control(func(fd uintptr) {
				optionErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255)
			})
			if err = errors.Join(err, optionErr); err != nil {
				return err
			}
			_, err = c.WriteTo(message, &net.IPAddr{IP: net.IPv6linklocalallnodes, Zone: "eth0"})
			return err
		}); err != nil {
			l.t.Fatal(err)
		}
		return prefix
	}
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
