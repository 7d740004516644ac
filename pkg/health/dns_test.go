// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package health_test

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/vishvananda/netlink"

	"github.com/vas-solutus/arca-network/pkg/dns"
	"github.com/vas-solutus/arca-network/pkg/health"
)

// TestNameServer: without its interface the name server is unhealthy, which
// leaves traffic alone, and well again with it, though nobody tells it so.
func TestNameServer(t *testing.T) {
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "names0"}, PeerName: "names1"}
	address := netip.MustParseAddr("100.64.0.2")
	add := func() {
		t.Helper()
		if err := netlink.LinkAdd(link); err != nil {
			t.Fatal(err)
		}
		addr, err := netlink.ParseAddr(address.String() + "/16")
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(link); err != nil {
			t.Fatal(err)
		}
	}
	add()
	t.Cleanup(func() { _ = netlink.LinkDel(link) })
	names, err := dns.New(dns.Options{
		Records: dns.NewRecords(), Interface: link.Name, Addresses: []netip.Addr{address},
		ResolvConf: filepath.Join(t.TempDir(), "resolv.conf"), Log: testr.New(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	check := health.DNSCheck(names.Check)
	check.Every = 50 * time.Millisecond // so that the test need not wait
	h := &machine{Monitor: health.New(testr.New(t), check), t: t, changed: make(chan struct{}, 1)}
	h.Subscribe(func(health.Report) {
		select {
		case h.changed <- struct{}{}:
		default:
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	for _, run := range []func(context.Context) error{names.Run, h.Run} {
		go func() { done <- run(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	h.becomes(health.DNS, health.OK)
	if err := netlink.LinkDel(link); err != nil {
		t.Fatal(err)
	}
	ill, report := h.becomes(health.DNS, health.Unhealthy)
	if !strings.Contains(ill.LastError, link.Name) || !slices.Contains(ill.StillWorks, health.Traffic) || report.State != health.Degraded {
		t.Errorf("without its interface: %+v of report %+v", ill, report)
	}
	link.Index = 0
	add()
	h.becomes(health.DNS, health.OK)
}
