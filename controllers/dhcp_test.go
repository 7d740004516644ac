// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"context"
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
func guest(t *testing.T, name, mac string) (outer string) {
	t.Helper()
	netns(t, name)
	outer = "ext-" + name
	run(t, "ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "address", mac, "netns", name)
	t.Cleanup(func() {
		if link, err := netlink.LinkByName(outer); err == nil {
			_ = netlink.LinkDel(link)
		}
	})
	run(t, "ip", "link", "set", outer, "up")
	run(t, "ip", "netns", "exec", name, "ip", "link", "set", "lo", "up")
	run(t, "ip", "netns", "exec", name, "ip", "link", "set", "eth0", "up")
	return outer
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
	const mac = "02:00:00:00:00:77"
	outer := guest(t, "vm", mac)
	a := await(t, w, w.attachment(t, "vm", "vms", func(s *v1alpha1.AttachmentSpec) {
		s.Interface = v1alpha1.Interface{Type: v1alpha1.InterfaceExternal, Name: outer}
		s.MAC = mac
		s.Container.Name = "vm-1"
		s.Addresses = []string{"10.1.0.77", "fd00:1::77"}
	}), "ready", ready[*v1alpha1.Attachment])

	dir := t.TempDir()
	script, told := filepath.Join(dir, "script"), filepath.Join(dir, "told")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nenv >>"+told+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	// answered asks once and returns what the client hands to its script.
	answered := func(args ...string) (map[string]string, error) {
		_ = os.Remove(told)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		out, err := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", "vm"}, args...)...).CombinedOutput()
		t.Logf("%v: %v: %s", args, err, out)
		raw, _ := os.ReadFile(told)
		values := map[string]string{}
		for line := range strings.Lines(string(raw)) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
			values[k] = v
		}
		return values, err
	}
	udhcpc := []string{"udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "3", "-T", "1", "-O", "search", "-O", "mtu", "-s", script}
	dhclient := []string{"dhclient", "-6", "-1", "-d", "-sf", script, "-lf", filepath.Join(dir, "leases"), "-pf", filepath.Join(dir, "pid"), "eth0"}

	if values, err := answered(udhcpc...); err == nil {
		t.Fatalf("an address was given in a network without DHCP: %v", values)
	}
	n = await(t, w, n, "ready", ready[*v1alpha1.Network])
	n.Spec.DHCP = &v1alpha1.NetworkDHCP{Enabled: true, LeaseSeconds: 600}
	if err := w.Update(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	var values map[string]string
	await(t, w, a, "an address is given", func(*v1alpha1.Attachment) bool {
		var err error
		values, err = answered(udhcpc...)
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
	run(t, "ip", "netns", "exec", "vm", "ip", "addr", "add", values["ip"]+"/"+values["mask"], "dev", "eth0")
	run(t, "ip", "netns", "exec", "vm", "ip", "route", "add", "default", "via", values["router"])
	if got := resolve(t, "vm", "udp", values["dns"], "vm-1.my.vms", miekg.TypeA); got != "NOERROR 10.1.0.77" {
		t.Errorf("its name is %s", got)
	}

	var six map[string]string
	await(t, w, a, "an IPv6 address is given", func(*v1alpha1.Attachment) bool {
		six, _ = answered(append([]string{"timeout", "5"}, dhclient...)...)
		return six["new_ip6_address"] != ""
	})
	if got := netip.MustParseAddr(six["new_ip6_address"]); got != netip.MustParseAddr("fd00:1::77") {
		t.Errorf("the IPv6 address is %s", got)
	}
	if six["new_dhcp6_name_servers"] != "fd00:1::1" {
		t.Errorf("it was told %v", six)
	}

	// The router advertises itself: DHCPv6 knows no default route.
	await(t, w, a, "a default route by advertisement", func(*v1alpha1.Attachment) bool {
		return strings.Contains(run(t, "ip", "netns", "exec", "vm", "ip", "-6", "route", "show", "default"), "via fe80:")
	})

	// What is edited by hand comes back; what is no longer wanted goes.
	w.nb(t, "--all", "destroy", "DHCP_Options")
	await(t, w, a, "an address is given again", func(*v1alpha1.Attachment) bool { _, err := answered(udhcpc...); return err == nil })
	n = await(t, w, n, "ready", ready[*v1alpha1.Network])
	n.Spec.DHCP.Enabled = false
	if err := w.Update(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	await(t, w, a, "no options are left", func(*v1alpha1.Attachment) bool {
		return w.nb(t, "--bare", "--columns=_uuid", "list", "DHCP_Options") == ""
	})
}
