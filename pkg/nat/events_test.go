// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"github.com/vas-solutus/arca-network/internal/nettest"
)

// TestHostEvents: what the kernel tells of is weighed as what happened.
func TestHostEvents(t *testing.T) {
	host := nettest.Host(t)
	heard, err := listenHost()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	weights, done := make(chan weight, 1000), make(chan error, 1)
	go func() {
		done <- follow(ctx, heard, func(msgs []netlink.Message) {
			for _, m := range msgs {
				weights <- weigh(m, "uplink0")
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		_ = heard.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { host.IP("link del d1") })
	for _, c := range []struct {
		what string
		do   func()
		want weight
	}{
		{"a new device", func() { host.IP("link add d0 type veth peer name d0p") }, device},
		{"a device that comes up", func() { host.IP("link set d0 up") }, nothing},
		{"an address", func() { host.IP("addr add 192.0.2.1/24 dev d0") }, changed},
		{"a switch", func() { host.Sysctl("net/ipv4/conf/d0/forwarding", "1") }, changed},
		{"the switch for all", func() { host.Sysctl("net/ipv4/conf/all/forwarding", "1") }, changed},
		{"another name", func() { host.IP("link set d0 down"); host.IP("link set d0 name d1") }, changed},
		{"the uplink", func() { host.IP("link add uplink0 type veth peer name up0p") }, changed},
		{"an address that goes", func() { host.IP("link del uplink0"); host.IP("addr del 192.0.2.1/24 dev d1") }, changed},
	} {
		c.do()
		most := nothing
		for quiet := false; !quiet; {
			select {
			case w := <-weights:
				most = max(most, w)
			case <-time.After(100 * time.Millisecond): // an absence has no event
				quiet = true
			}
		}
		if most != c.want {
			t.Errorf("%s: weight %d, want %d", c.what, most, c.want)
		}
	}
	host.Sysctl("net/ipv4/conf/all/forwarding", "0")
}

// TestFlowsOfNewSubnets: the connections of a subnet that is new are looked at as
// well, a little later.
func TestFlowsOfNewSubnets(t *testing.T) {
	l := newLab(t)
	l.apply(State{Masqueraded: prefixes("10.88.0.0/24")}, true)
	c, err := conntrack.Dial(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	// As if it had begun before anything was known of its subnet.
	f := conntrack.NewFlow(unix.IPPROTO_UDP, 0, netip.MustParseAddr(db4), netip.MustParseAddr(inet4), 4000, 7000, 600, 0)
	if err := c.Create(f); err != nil {
		t.Fatal(err)
	}
	tracked := func() bool {
		all, err := c.Dump(nil)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(all, func(x conntrack.Flow) bool { return flowOf(x) == flowOf(f) })
	}
	if !tracked() {
		t.Fatal("there is no connection to begin with")
	}
	all := State{Masqueraded: prefixes("10.88.0.0/24", "10.89.0.0/24")}
	l.apply(all, true)
	l.keep(all)
	for limit := time.Now().Add(10 * time.Second); tracked(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the connection goes on without being masqueraded")
		}
	}
}
