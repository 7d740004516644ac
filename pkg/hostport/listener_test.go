// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package hostport_test

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/vas-solutus/arca-network/internal/nettest"
	"github.com/vas-solutus/arca-network/pkg/hostport"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
)

func TestMain(m *testing.M) { ovntest.Main(m) }

const tcp, udp, sctp = 6, 17, 132

// TestListener: who listens is named, where a packet could be for it.
func TestListener(t *testing.T) {
	h := nettest.Host(t)
	h.IP("addr add 192.0.2.1/32 dev lo")
	h.IP("addr add 192.0.2.53/32 dev lo")
	t.Cleanup(func() { h.IP("addr del 192.0.2.1/32 dev lo"); h.IP("addr del 192.0.2.53/32 dev lo") })
	h.Serve("tcp4", "", 80, "x")
	h.Serve("tcp", "127.0.0.1", 81, "x")
	h.Serve("tcp", "", 82, "x") // both families
	h.Serve("tcp6", "::", 83, "x")
	h.Serve("udp", "192.0.2.1", 84, "x")
	h.Serve("tcp", "192.0.2.53", 85, "x")
	host := hostport.Host{Except: []netip.Addr{netip.MustParseAddr("192.0.2.53")}}
	for _, c := range []struct {
		protocol    uint8
		at          string
		first, last uint16
		port        uint16 // 0: nobody
	}{
		{tcp, "0.0.0.0", 80, 80, 80},
		{tcp, "192.0.2.1", 80, 80, 80},
		{tcp, "::", 80, 80, 0},
		{udp, "0.0.0.0", 80, 80, 0},
		{tcp, "0.0.0.0", 70, 79, 0},
		{tcp, "0.0.0.0", 70, 90, 80},
		{tcp, "0.0.0.0", 81, 81, 81},
		{tcp, "127.0.0.1", 81, 81, 81},
		{tcp, "192.0.2.1", 81, 81, 0},
		{tcp, "0.0.0.0", 82, 82, 82},
		{tcp, "::", 82, 82, 82},
		{tcp, "0.0.0.0", 83, 83, 0},
		{tcp, "::", 83, 83, 83},
		{udp, "0.0.0.0", 84, 84, 84},
		{udp, "127.0.0.1", 84, 84, 0},
		{tcp, "0.0.0.0", 85, 85, 0},
		{sctp, "0.0.0.0", 80, 90, 0},
	} {
		who, port, err := host.Listener(c.protocol, netip.MustParseAddr(c.at), c.first, c.last)
		if err != nil {
			t.Fatal(err)
		}
		if port != c.port || (who != "") != (c.port != 0) {
			t.Errorf("%d at %s, %d to %d: %q on %d, want %d", c.protocol, c.at, c.first, c.last, who, port, c.port)
		}
		if who != "" && !strings.Contains(who, fmt.Sprintf("(pid %d)", os.Getpid())) {
			t.Errorf("%q does not name this process", who)
		}
	}
	for a, want := range map[string]bool{"192.0.2.1": true, "192.0.2.2": false, "127.0.0.9": true, "192.0.2.53": false} {
		if got, err := host.HasAddress(netip.MustParseAddr(a)); err != nil || got != want {
			t.Errorf("HasAddress(%s): %v, %v", a, got, err)
		}
	}
}
