// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func pingOnce(from, to, size string) string {
	out, _ := exec.Command("ping", "-c", "2", "-i", "0.2", "-W", "1", "-M", "do", "-s", size, "-I", from, to).CombinedOutput()
	return string(out)
}

func TestPublishedPorts(t *testing.T) {
	l := newLab(t)
	for _, network := range []string{"tcp", "udp"} {
		l.eps.Serve(network, web4, 80, "eps")
		l.eps.Serve(network, web6, 80, "eps")
	}
	var ports []Port
	for _, p := range []Protocol{TCP, UDP} {
		ports = append(ports,
			port(p, "0.0.0.0", 8080, web4, 80), port(p, "::", 8080, web6, 80),
			port(p, host4, 8081, web4, 80), port(p, host6, 8081, web6, 80),
			port(p, "127.0.0.1", 8082, web4, 80))
	}
	l.apply(natted(ports...), true)
	l.apply(natted(ports...), false)
	both(t, func(t *testing.T, is6 bool) {
		host, world, up := pick(is6, host4, host6), pick(is6, inet4, inet6), pick(is6, up4, up6)
		web, db := pick(is6, web4, web6), pick(is6, db4, db6)
		for _, network := range []string{"tcp", "udp"} {
			for _, p := range []int{8080, 8081} {
				l.inet.Reaches(network, "", host, p, "eps "+world)
				l.host.Reaches(network, "", host, p, "eps "+host)
				l.eps.Reaches(network, db, host, p, "eps "+up)  // from another network
				l.eps.Reaches(network, web, host, p, "eps "+up) // from the container itself
			}
			l.inet.Blocked(network, "", host, 8083)
		}
		// A neighbour with a route to the container itself.
		l.inet.IP(pick(is6, "route", "-6 route") + " add " + web + " via " + host)
		l.inet.Blocked("tcp", "", web, 80)
		// 8081 is of one address only.
		l.inet.IP(pick(is6, "route", "-6 route") + " add " + up + " via " + host)
		l.inet.Blocked("tcp", "", up, 8081)
	})
	for _, network := range []string{"tcp", "udp"} {
		l.host.Reaches(network, "", "127.0.0.1", 8080, "eps "+up4)
		l.host.Reaches(network, "", "127.0.0.1", 8082, "eps "+up4)
		l.inet.Blocked(network, "", host4, 8082)
		l.eps.Blocked(network, db4, host4, 8082)
	}
}

// TestPublishedOnLoopbackStaysThere: a neighbour sends a packet to 127.0.0.1
// through the host.
func TestPublishedOnLoopbackStaysThere(t *testing.T) {
	l := newLab(t)
	l.eps.Serve("udp", web4, 80, "eps")
	l.apply(natted(port(UDP, "127.0.0.1", 8082, web4, 80), port(UDP, "0.0.0.0", 8080, web4, 80)), true)
	l.inet.Sysctl("net/ipv4/conf/all/route_localnet", "1")
	l.inet.IP("route del local 127.0.0.0/8 dev lo table local")
	l.inet.IP("route del local 127.0.0.1 dev lo table local")
	l.inet.IP("route add 127.0.0.1/32 via " + host4)
	l.inet.Blocked("udp", inet4, "127.0.0.1", 8082)
	l.inet.Blocked("udp", inet4, "127.0.0.1", 8080)
	if n := counter(t, "eth0", l); n == 0 {
		t.Fatal("nothing was sent: the test shows nothing")
	}
	l.host.Reaches("udp", "", "127.0.0.1", 8082, "eps "+up4)
}

// counter is how many packets an interface of the world has sent.
func counter(t *testing.T, link string, l *lab) int {
	t.Helper()
	n := 0
	if _, err := fmt.Sscan(l.inet.Exec("cat", "/sys/class/net/"+link+"/statistics/tx_packets"), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRanges(t *testing.T) {
	l := newLab(t)
	l.eps.Serve("tcp", "", 5009, "eps")
	r4 := Port{Protocol: TCP, Listen: netip.IPv4Unspecified(), First: 6000, Last: 6009,
		Target: netip.AddrPortFrom(netip.MustParseAddr(web4), 5000)}
	r6 := r4
	r6.Listen, r6.Target = netip.IPv6Unspecified(), netip.AddrPortFrom(netip.MustParseAddr(web6), 5000)
	l.apply(natted(r4, r6), true)
	both(t, func(t *testing.T, is6 bool) {
		l.inet.Reaches("tcp", "", pick(is6, host4, host6), 6009, "eps "+pick(is6, inet4, inet6))
		l.inet.Blocked("tcp", "", pick(is6, host4, host6), 6008)
		l.inet.Blocked("tcp", "", pick(is6, host4, host6), 6010)
	})
	// All ports there are, in one transaction.
	r4.First, r4.Last, r4.Target = 1, 65535, netip.AddrPortFrom(r4.Target.Addr(), 1)
	l.apply(natted(r4), true)
	l.apply(natted(r4), false)
	l.m = l.manager()
	l.apply(natted(r4), false)
	l.apply(natted(), true)
}

// TestSCTP sends what begins an association, by raw sockets: the kernel may
// have no SCTP of its own.
func TestSCTP(t *testing.T) {
	l := newLab(t)
	l.apply(natted(port(SCTP, "0.0.0.0", 9000, web4, 9), port(SCTP, "::", 9000, web6, 9)), true)
	both(t, func(t *testing.T, is6 bool) {
		network := pick(is6, "ip4:132", "ip6:132")
		var in, out net.PacketConn
		if err := errors.Join(
			l.eps.Do(func() (err error) { in, err = net.ListenPacket(network, pick(is6, web4, web6)); return err }),
			l.inet.Do(func() (err error) { out, err = net.ListenPacket(network, pick(is6, inet4, inet6)); return err }),
		); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = in.Close(); _ = out.Close() }()
		to := &net.IPAddr{IP: net.ParseIP(pick(is6, host4, host6))}
		b := make([]byte, 100)
		var (
			n    int
			from net.Addr
			err  error
		)
		for range 5 { // the first may be lost while neighbours find each other
			if _, err := out.WriteTo(sctpInit(40000, 9000), to); err != nil {
				t.Fatal(err)
			}
			_ = in.SetReadDeadline(time.Now().Add(time.Second))
			if n, from, err = in.ReadFrom(b); err == nil {
				break
			}
		}
		if err != nil {
			t.Fatalf("the packet does not arrive: %v", err)
		}
		if want := sctpInit(40000, 9); string(b[:n]) != string(want) || from.String() != pick(is6, inet4, inet6) {
			t.Errorf("from %s %x, want %x", from, b[:n], want)
		}
	})
}

func sctpInit(from, to uint16) []byte {
	b := binary.BigEndian.AppendUint16(nil, from)
	b = binary.BigEndian.AppendUint16(b, to)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)                                                      // tag, checksum
	b = append(b, 1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1)                 // INIT
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))) // over a zero checksum
	return b
}

// TestClosedNetworksPublish: no way out, but answers.
func TestClosedNetworksPublish(t *testing.T) {
	l := newLab(t)
	l.eps.Serve("tcp", "", 80, "eps")
	l.inet.Serve("tcp", "", 7000, "inet")
	l.apply(State{Closed: prefixes("10.88.0.0/24", "fd00:88::/64"),
		Ports: []Port{port(TCP, "0.0.0.0", 8080, web4, 80), port(TCP, "::", 8080, web6, 80)}}, true)
	both(t, func(t *testing.T, is6 bool) {
		l.inet.Reaches("tcp", "", pick(is6, host4, host6), 8080, "eps "+pick(is6, inet4, inet6))
		l.eps.Blocked("tcp", pick(is6, web4, web6), pick(is6, inet4, inet6), 7000)
		// An isolated endpoint (db is in no list) does not reach published ports either.
		l.eps.Blocked("tcp", pick(is6, db4, db6), pick(is6, host4, host6), 8080)
	})
}

// TestPortChangesHands: a client that goes on sending reaches the new holder,
// and after the last one nobody.
func TestPortChangesHands(t *testing.T) {
	l := newLab(t)
	both(t, func(t *testing.T, is6 bool) {
		web, web2 := pick(is6, web4, web6), pick(is6, web2x4, web2x6)
		any, host := pick(is6, "0.0.0.0", "::"), pick(is6, host4, host6)
		l.eps.Serve("udp", web, 80, "first")
		l.eps.Serve("udp", web2, 80, "second")
		l.apply(natted(), l.m.known == nil)
		c, err := l.inet.Dial("udp", "", host, 8080, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		ask := func(want string) {
			t.Helper()
			got, err := c.Ask(time.Second)
			if want == "" && err == nil || want != "" && !strings.HasPrefix(got, want) {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		}
		silent := l.host.Serve("udp", host, 8080, "host") // the flow is known before the port is published
		ask("host")
		silent.Close()
		l.apply(natted(port(UDP, any, 8080, web, 80)), true)
		ask("first")
		l.apply(natted(port(UDP, any, 8080, web2, 80)), true)
		ask("second")
		l.apply(natted(), true)
		ask("")
		// An address that changes hands.
		l.apply(natted(port(UDP, any, 8080, web, 80)), true)
		ask("first")
		before := len(flows(t, web))
		if err := l.m.Forget(t.Context(), netip.MustParseAddr(web)); err != nil {
			t.Fatal(err)
		}
		if after := len(flows(t, web)); before == 0 || after != 0 {
			t.Errorf("%d connections of %s were tracked before, %d after", before, web, after)
		}
		l.apply(natted(), true)
	})
}

// flows are the tracked connections of an endpoint.
func flows(t *testing.T, address string) []flow {
	t.Helper()
	var out []flow
	a := netip.MustParseAddr(address)
	if _, err := deleteFlows(func(f flow) bool {
		if f.from.Addr() == a || f.server.Addr() == a {
			out = append(out, f)
		}
		return false
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPortsAreElements: a thousand ports add no rule.
func TestPortsAreElements(t *testing.T) {
	l := newLab(t)
	l.apply(natted(), true)
	before := rules(t)
	var ports []Port
	for i := range 1000 {
		ports = append(ports, port(TCP, "0.0.0.0", uint16(20000+i), web4, 80))
	}
	l.apply(natted(ports...), true)
	if after := rules(t); after != before || before == 0 {
		t.Errorf("%d rules before, %d after", before, after)
	}
	l.eps.Serve("tcp", web4, 80, "eps")
	l.inet.Reaches("tcp", "", host4, 20999, "eps "+inet4)
}

func rules(t *testing.T) int { return strings.Count(ruleset(t), "comment \"arca-network\"") }
