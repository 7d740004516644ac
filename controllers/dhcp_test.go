// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	miekg "github.com/miekg/dns"
	"github.com/vishvananda/netlink"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// guest is a machine that configures itself: an interface at the end of a veth
// that nobody else has given an address.
type guest struct {
	t    *testing.T
	name string
	dir  string
	last string // what was asked last, and how that went
}

// newGuest makes one, attached to a network, with the addresses that it shall be told.
func newGuest(t *testing.T, w *world, name, network, mac string, addresses ...string) *guest {
	t.Helper()
	g := &guest{t: t, name: name, dir: t.TempDir()}
	netns(t, name)
	outer := "ext-" + name
	run(t, "ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "address", mac, "netns", name)
	t.Cleanup(func() {
		if link, err := netlink.LinkByName(outer); err == nil {
			_ = netlink.LinkDel(link)
		}
	})
	run(t, "ip", "link", "set", outer, "up")
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(g.last)
		}
	})
	g.run("ip", "link", "set", "lo", "up")
	// Clients of DHCPv6 end at once where the link-local address is still tried out.
	g.run("sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad")
	g.run("ip", "link", "set", "eth0", "up")
	if err := os.WriteFile(g.file("script"), []byte("#!/bin/sh\nenv >>"+g.file("told")+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	await(t, w, w.attachment(t, name, network, func(s *v1alpha1.AttachmentSpec) {
		s.Interface = v1alpha1.Interface{Type: v1alpha1.InterfaceExternal, Name: outer}
		s.MAC = mac
		s.Container.Name = name
		s.Addresses = addresses
	}), "ready", ready[*v1alpha1.Attachment])
	return g
}

func (g *guest) file(name string) string { return filepath.Join(g.dir, name) }

// run runs a command in the guest.
func (g *guest) run(args ...string) string {
	g.t.Helper()
	return run(g.t, "ip", append([]string{"netns", "exec", g.name}, args...)...)
}

// ask runs a client once and returns what it hands to its script.
func (g *guest) ask(args ...string) (map[string]string, error) {
	_ = os.Remove(g.file("told"))
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", g.name}, args...)...).CombinedOutput()
	g.last = fmt.Sprintf("%v: %v: %s", args, err, out)
	raw, _ := os.ReadFile(g.file("told"))
	values := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[k] = v
	}
	return values, err
}

// lease4 asks for an IPv4 address.
func (g *guest) lease4() (map[string]string, error) {
	return g.ask("udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "3", "-T", "1", "-O", "search", "-O", "mtu", "-s", g.file("script"))
}

// lease6 asks for an IPv6 address: new_ip6_address, in short form, or nothing.
func (g *guest) lease6() map[string]string {
	// A client that has bound something goes on in the foreground.
	values, _ := g.ask("timeout", "5", "dhclient", "-6", "-1", "-d", "-sf", g.file("script"), "-lf", g.file("leases"), "-pf", g.file("pid"), "eth0")
	if a, err := netip.ParseAddr(values["new_ip6_address"]); err == nil {
		values["new_ip6_address"] = a.String()
	}
	return values
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestDHCP: a guest that asks is told its address and all that it needs, in
// both families, by clients that people use.
func TestDHCP(t *testing.T) {
	w := newWorld(t)
	n := &v1alpha1.Network{}
	n.Name = "vms"
	n.Spec = v1alpha1.NetworkSpec{
		DNSName: "my.vms",
		Subnets: []v1alpha1.Subnet{{CIDR: "10.1.0.0/24"}, {CIDR: "fd00:1::/64"}},
		DNS:     &v1alpha1.NetworkDNS{Search: []string{"corp.example.com"}},
		MTU:     new(int32(1400)),
	}
	w.create(t, n)
	await(t, w, n, "ready", ready[*v1alpha1.Network])
	g := newGuest(t, w, "vm", "vms", "02:00:00:00:00:77", "10.1.0.77", "fd00:1::77")

	if values, err := g.lease4(); err == nil {
		t.Fatalf("an address was given in a network without DHCP: %v", values)
	}
	n = await(t, w, n, "ready", ready[*v1alpha1.Network])
	n.Spec.DHCP = &v1alpha1.NetworkDHCP{Enabled: true, LeaseSeconds: 600}
	if err := w.Update(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	var values map[string]string
	await(t, w, n, "an address is given", func(*v1alpha1.Network) bool {
		var err error
		values, err = g.lease4()
		return err == nil
	})
	for key, want := range map[string]string{
		"ip": "10.1.0.77", "mask": "24", "router": "10.1.0.1", "dns": "10.1.0.1", "mtu": "1400", "lease": "600",
		"search": "my.vms corp.example.com", "serverid": "10.1.0.1",
	} {
		if values[key] != want {
			t.Errorf("%s is %q, want %q; all: %v", key, values[key], want, values)
		}
	}

	// With what it was told the guest reaches its gateway, and is found by name.
	g.run("ip", "addr", "add", values["ip"]+"/"+values["mask"], "dev", "eth0")
	g.run("ip", "route", "add", "default", "via", values["router"])
	if got := resolve(t, "vm", "udp", values["dns"], "vm.my.vms", miekg.TypeA); got != "NOERROR 10.1.0.77" {
		t.Errorf("its name is %s", got)
	}
	g.gets6(w, n, "fd00:1::77", "fd00:1::1")

	// What is edited by hand comes back; what is no longer wanted goes.
	w.nb(t, "--all", "destroy", "DHCP_Options")
	await(t, w, n, "an address is given again", func(*v1alpha1.Network) bool { _, err := g.lease4(); return err == nil })
	n = await(t, w, n, "ready", ready[*v1alpha1.Network])
	n.Spec.DHCP.Enabled = false
	if err := w.Update(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	await(t, w, n, "no options are left", func(*v1alpha1.Network) bool {
		return w.nb(t, "--bare", "--columns=_uuid", "list", "DHCP_Options") == ""
	})
}

// gets6 waits until the guest is told its IPv6 address and who knows names, and
// until the router has advertised itself: DHCPv6 knows no default route.
func (g *guest) gets6(w *world, n *v1alpha1.Network, address, server string) {
	g.t.Helper()
	await(g.t, w, n, "an IPv6 address is given", func(*v1alpha1.Network) bool {
		told := g.lease6()
		return told["new_ip6_address"] == address && told["new_dhcp6_name_servers"] == server
	})
	await(g.t, w, n, "a default route by advertisement", func(*v1alpha1.Network) bool {
		return strings.Contains(g.run("ip", "-6", "route", "show", "default"), "via fe80:")
	})
}

// TestIPv6Only: in a network that has chosen its own range, and no IPv4 at all,
// a guest learns its address and its way out, and finds others by name.
func TestIPv6Only(t *testing.T) {
	w := newWorld(t)
	n := &v1alpha1.Network{}
	n.Name = "six"
	n.Spec.IPFamilies = []v1alpha1.IPFamily{v1alpha1.IPv6}
	n.Spec.DHCP = &v1alpha1.NetworkDHCP{Enabled: true}
	w.create(t, n)
	n = await(t, w, n, "ready", ready[*v1alpha1.Network])
	if len(n.Status.Subnets) != 1 {
		t.Fatalf("subnets are %v, want one", n.Status.Subnets)
	}
	subnet := netip.MustParsePrefix(n.Status.Subnets[0].CIDR)
	if subnet.Bits() != 64 || !netip.MustParsePrefix("fd00::/8").Contains(subnet.Addr()) {
		t.Fatalf("the range is %s, want a unique local /64", subnet)
	}
	gateway := n.Status.Subnets[0].Gateway
	bytes := subnet.Addr().As16()
	bytes[15] = 0x77
	address := netip.AddrFrom16(bytes).String()
	g := newGuest(t, w, "vm", "six", "02:00:00:00:00:79", address)
	netns(t, "c")
	c := await(t, w, w.attachment(t, "c", "six", func(s *v1alpha1.AttachmentSpec) { s.Container.Name = "peer" }), "ready", ready[*v1alpha1.Attachment])
	g.gets6(w, n, address, gateway)
	g.run("ip", "addr", "add", address+"/64", "dev", "eth0", "nodad")
	for _, transport := range transports {
		await(t, w, n, "a name by "+transport, func(*v1alpha1.Network) bool {
			return resolve(t, "vm", transport, gateway, "peer", miekg.TypeAAAA) == "NOERROR "+address6(c)
		})
		if got := resolve(t, "vm", transport, gateway, "peer", miekg.TypeA); got != "NOERROR" {
			t.Errorf("a name without an IPv4 address is %s, want no data", got)
		}
	}
}
