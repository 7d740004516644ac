// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/policy/policytest"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// TestSpoofing: what an endpoint must not send does not arrive; the same
// frames with its own addresses do. With a policy connections are tracked,
// which is another path through OVN.
func TestSpoofing(t *testing.T) {
	w := newWorld(t)
	w.network(t, "web", false, "10.1.0.0/24", "fd00:1::/64")
	w.network(t, "db", false, "10.2.0.0/24", "fd00:2::/64")
	liar, victim := w.endpoint(t, "liar", "web", nil), w.endpoint(t, "victim", "web", nil)
	other := w.endpoint(t, "other", "web", nil)
	t.Run("without policies", func(t *testing.T) { spoof(t, w, liar, victim, other) })
	w.ready(t, w.policy(t, "allow", `{network: web, ingress: [{action: Allow}], egress: [{action: Allow}]}`))
	w.settled(t)
	t.Run("with a policy that allows everything", func(t *testing.T) { spoof(t, w, liar, victim, other) })
}

func spoof(t *testing.T, w *world, liar, victim, other policytest.Host) {
	t.Helper()
	ear := open(t, w.spaces[victim.Name])
	mouth := open(t, w.spaces[liar.Name])
	me, you, third := endOf(t, liar), endOf(t, victim), endOf(t, other)
	gateway := end{mac: topology.RouterMAC("web"), v4: netip.MustParseAddr("10.1.0.1"), v6: netip.MustParseAddr("fd00:1::1")}
	everybody := end{net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, netip.Addr{}, netip.MustParseAddr("ff02::1")}
	stranger := me
	stranger.mac = net.HardwareAddr{2, 0x66, 0x66, 0x66, 0x66, 0x66}
	for _, c := range []struct {
		name    string
		arrives bool
		frame   func(mark []byte) []byte
	}{
		{"own addresses, IPv4", true, func(m []byte) []byte { return udp4(me, you, 4000, 4001, m) }},
		{"own addresses, IPv6", true, func(m []byte) []byte { return udp6(me, you, 4000, 4001, m) }},
		{"another's MAC", false, func(m []byte) []byte { return udp4(end{third.mac, me.v4, me.v6}, you, 4000, 4001, m) }},
		{"nobody's MAC", false, func(m []byte) []byte { return udp4(stranger, you, 4000, 4001, m) }},
		{"another's IPv4 address", false, func(m []byte) []byte { return udp4(end{me.mac, third.v4, me.v6}, you, 4000, 4001, m) }},
		{"the gateway's IPv4 address", false, func(m []byte) []byte { return udp4(end{me.mac, gateway.v4, me.v6}, you, 4000, 4001, m) }},
		{"another's IPv6 address", false, func(m []byte) []byte { return udp6(end{me.mac, me.v4, third.v6}, you, 4000, 4001, m) }},
		{"another's link-local address", false, func(m []byte) []byte {
			return udp6(end{me.mac, me.v4, topology.LinkLocal(third.mac)}, you, 4000, 4001, m)
		}},
		{"ARP for itself", true, func(m []byte) []byte { return arp(me, you, m) }},
		{"ARP for the gateway", false, func(m []byte) []byte { return arp(end{me.mac, gateway.v4, me.v6}, you, m) }},
		{"ARP for another", false, func(m []byte) []byte { return arp(end{me.mac, third.v4, me.v6}, you, m) }},
		{"neighbour advertisement for itself", true, func(m []byte) []byte { return advertise(me, me, you, m) }},
		{"neighbour advertisement for the gateway", false, func(m []byte) []byte { return advertise(me, gateway, you, m) }},
		{"neighbour advertisement for another", false, func(m []byte) []byte { return advertise(me, third, you, m) }},
		{"a DHCP server's answer", false, func(m []byte) []byte { return udp4(me, you, 67, 68, m) }},
		{"a DHCP server's answer to all", false, func(m []byte) []byte {
			return udp4(me, end{net.HardwareAddr{255, 255, 255, 255, 255, 255}, netip.MustParseAddr("255.255.255.255"), you.v6}, 67, 68, m)
		}},
		{"a DHCPv6 server's answer", false, func(m []byte) []byte {
			return udp6(end{me.mac, me.v4, topology.LinkLocal(me.mac)}, you, 547, 546, m)
		}},
		{"a router advertisement", false, func(m []byte) []byte { return routerAdvertisement(me, you, m) }},
		{"a router advertisement to all", false, func(m []byte) []byte { return routerAdvertisement(me, everybody, m) }},
		{"a router advertisement behind an option", false, func(m []byte) []byte { return optioned(routerAdvertisement(me, you, m)) }},
		{"a neighbour advertisement behind an option", true, func(m []byte) []byte { return optioned(advertise(me, me, you, m)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := arrives(t, mouth, ear, c.frame, me, you); got != c.arrives {
				t.Errorf("arrives: %v, want %v", got, c.arrives)
			}
		})
	}
}

// TestRouterAdvertisements: should one reach an endpoint all the same, its kernel
// takes nothing from it. One that was told to listen, as virtual machines do, shows
// that it is a good one.
func TestRouterAdvertisements(t *testing.T) {
	w := newWorld(t)
	w.network(t, "web", false, "fd00:1::/64")
	liar, victim, naive := w.endpoint(t, "liar", "web", nil), w.endpoint(t, "victim", "web", nil), w.endpoint(t, "naive", "web", nil)
	if err := w.spaces["naive"].do(func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/eth0/accept_ra", []byte("1"), 0o600)
	}); err != nil {
		t.Fatal(err)
	}
	me, hosts := endOf(t, liar), []policytest.Host{victim, naive}
	mouths := []int{w.openOutside(t, victim), w.openOutside(t, naive)}
	for limit := time.Now().Add(patience); !believes(t, w.spaces["naive"]); time.Sleep(50 * time.Millisecond) {
		for i, to := range hosts {
			you := endOf(t, to)
			you.v6 = topology.LinkLocal(you.mac)
			send(t, mouths[i], routerAdvertisement(me, you, make([]byte, 12)))
		}
		if time.Now().After(limit) {
			t.Fatal("nobody takes the advertisement")
		}
	}
	if believes(t, w.spaces["victim"]) {
		t.Error("the endpoint has an address of the rogue router's prefix")
	}
}

// believes tells whether a namespace has an address of the rogue prefix.
func believes(t *testing.T, s *space) bool {
	t.Helper()
	found := false
	if err := s.do(func() error {
		addresses, err := net.InterfaceAddrs()
		for _, a := range addresses {
			found = found || strings.HasPrefix(a.String(), "2001:db8:bad:")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// marks makes every frame another.
var marks int

// arrives sends a frame three times and then one that arrives for sure, and
// tells whether the first was among what came.
func arrives(t *testing.T, mouth, ear int, frame func([]byte) []byte, me, you end) bool {
	t.Helper()
	marks++
	mark, last := []byte(fmt.Sprintf("mark%08d", marks)), []byte(fmt.Sprintf("last%08d", marks))
	for range 3 {
		send(t, mouth, frame(mark))
	}
	came, limit, sent := false, time.Now().Add(patience), time.Time{}
	over := time.Time{} // a while after the last one, for what overtook the rest
	buf := make([]byte, 4096)
	for time.Now().Before(limit) && (over.IsZero() || time.Now().Before(over)) {
		if over.IsZero() && time.Since(sent) > time.Second {
			send(t, mouth, udp4(me, you, 4000, 4001, last))
			sent = time.Now()
		}
		waits := []unix.PollFd{{Fd: int32(ear), Events: unix.POLLIN}}
		if n, err := unix.Poll(waits, 50); n == 0 || errors.Is(err, unix.EINTR) {
			continue
		}
		n, from, err := unix.Recvfrom(ear, buf, 0)
		if err != nil {
			t.Fatal(err)
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		came = came || bytes.Contains(buf[:n], mark)
		if bytes.Contains(buf[:n], last) && over.IsZero() {
			over = time.Now().Add(150 * time.Millisecond)
		}
	}
	if over.IsZero() {
		t.Fatal("what is allowed does not arrive")
	}
	return came
}

// end is an end of a frame.
type end struct {
	mac    net.HardwareAddr
	v4, v6 netip.Addr
}

func endOf(t *testing.T, h policytest.Host) end {
	t.Helper()
	mac, err := net.ParseMAC(h.MAC)
	if err != nil {
		t.Fatal(err)
	}
	v4, _ := h.Address(false)
	v6, _ := h.Address(true)
	return end{mac, v4, v6}
}

// open opens a packet socket on eth0 of a namespace.
func open(t *testing.T, s *space) int {
	t.Helper()
	fd := -1
	if err := s.do(func() (err error) {
		fd, err = packetSocket("eth0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// openOutside opens a packet socket on the host's end of an endpoint: what is sent
// there comes to the endpoint and passes no bridge.
func (w *world) openOutside(t *testing.T, h policytest.Host) int {
	t.Helper()
	a := &v1alpha1.Attachment{}
	if err := w.Get(t.Context(), client.ObjectKey{Name: h.Name}, a); err != nil {
		t.Fatal(err)
	}
	fd, err := packetSocket(a.Status.PortName)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func packetSocket(device string) (int, error) {
	i, err := net.InterfaceByName(device)
	if err != nil {
		return -1, err
	}
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		return -1, err
	}
	return fd, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index})
}

func send(t *testing.T, fd int, frame []byte) {
	t.Helper()
	if _, err := unix.Write(fd, frame); err != nil {
		t.Fatal(err)
	}
}

func ethernet(from, to net.HardwareAddr, kind uint16, payload []byte) []byte {
	out := append(append([]byte{}, to...), from...)
	return append(binary.BigEndian.AppendUint16(out, kind), payload...)
}

func udp4(from, to end, source, destination uint16, payload []byte) []byte {
	ip := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
	ip = append(append(ip, from.v4.AsSlice()...), to.v4.AsSlice()...)
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(payload)))
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	return ethernet(from.mac, to.mac, unix.ETH_P_IP, append(ip, udp(from.v4, to.v4, source, destination, payload)...))
}

func udp6(from, to end, source, destination uint16, payload []byte) []byte {
	return ethernet(from.mac, to.mac, unix.ETH_P_IPV6, ip6(from.v6, to.v6, unix.IPPROTO_UDP, 64, udp(from.v6, to.v6, source, destination, payload)))
}

func ip6(from, to netip.Addr, next, hops byte, payload []byte) []byte {
	out := []byte{0x60, 0, 0, 0, byte(len(payload) >> 8), byte(len(payload)), next, hops}
	return append(append(append(out, from.AsSlice()...), to.AsSlice()...), payload...)
}

func udp(from, to netip.Addr, source, destination uint16, payload []byte) []byte {
	out := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(out[0:], source)
	binary.BigEndian.PutUint16(out[2:], destination)
	binary.BigEndian.PutUint16(out[4:], uint16(8+len(payload)))
	out = append(out, payload...)
	binary.BigEndian.PutUint16(out[6:], transportChecksum(from, to, unix.IPPROTO_UDP, out))
	return out
}

// arp says that from's IPv4 address is at its MAC address. The mark is what
// pads the frame.
func arp(from, to end, mark []byte) []byte {
	out := []byte{0, 1, 8, 0, 6, 4, 0, 2}
	out = append(append(out, from.mac...), from.v4.AsSlice()...)
	out = append(append(out, to.mac...), to.v4.AsSlice()...)
	return ethernet(from.mac, to.mac, unix.ETH_P_ARP, append(append(out, mark...), make([]byte, 8)...))
}

// advertise says that the address of whose is at from's MAC address. The mark
// is in an option that nobody knows.
func advertise(from, whose, to end, mark []byte) []byte {
	out := append([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, whose.v6.AsSlice()...)
	out = append(append(out, 2, 1), from.mac...)
	out = append(append(append(out, 200, 2), mark...), 0, 0)
	binary.BigEndian.PutUint16(out[2:], transportChecksum(from.v6, to.v6, unix.IPPROTO_ICMPV6, out))
	return ethernet(from.mac, to.mac, unix.ETH_P_IPV6, ip6(from.v6, to.v6, unix.IPPROTO_ICMPV6, 255, out))
}

// routerAdvertisement offers a prefix (RFC 4861, 4.2). The mark of 12 bytes is in an
// option that nobody knows.
func routerAdvertisement(from, to end, mark []byte) []byte {
	source := topology.LinkLocal(from.mac)
	out := []byte{134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0}
	out = append(out, 3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0)
	out = append(out, netip.MustParseAddr("2001:db8:bad::").AsSlice()...)
	out = append(append(out, 1, 1), from.mac...)
	out = append(append(append(out, 200, 2), mark...), 0, 0)
	binary.BigEndian.PutUint16(out[2:], transportChecksum(source, to.v6, unix.IPPROTO_ICMPV6, out))
	return ethernet(from.mac, to.mac, unix.ETH_P_IPV6, ip6(source, to.v6, unix.IPPROTO_ICMPV6, 255, out))
}

// optioned puts an extension header, destination options that say nothing, before
// what a frame's IPv6 packet carries.
func optioned(frame []byte) []byte {
	const header, nextHeader = 14, 14 + 6
	payload := frame[header+40:]
	extension := []byte{frame[nextHeader], 0, 1, 4, 0, 0, 0, 0}
	out := append(append(append([]byte{}, frame[:header+40]...), extension...), payload...)
	out[nextHeader] = unix.IPPROTO_DSTOPTS
	binary.BigEndian.PutUint16(out[header+4:], uint16(len(extension)+len(payload)))
	return out
}

func transportChecksum(from, to netip.Addr, protocol byte, payload []byte) uint16 {
	pseudo := append(from.AsSlice(), to.AsSlice()...)
	pseudo = append(pseudo, 0, protocol, byte(len(payload)>>8), byte(len(payload)))
	return checksum(append(pseudo, payload...))
}

func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
