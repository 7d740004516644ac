// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package probe_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/vas-solutus/arca-network/internal/nettest"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
	"github.com/vas-solutus/arca-network/pkg/probe"
)

func TestMain(m *testing.M) { ovntest.Main(m) }

func TestParseTarget(t *testing.T) {
	for in, want := range map[string]string{
		"icmp://192.0.2.1":           "icmp://192.0.2.1",
		"icmp://2001:db8::1":         "icmp://[2001:db8::1]",
		"icmp://[2001:db8::1]":       "icmp://[2001:db8::1]",
		"tcp://192.0.2.1:443":        "tcp://192.0.2.1:443",
		"tcp://[2001:db8::1]:1":      "tcp://[2001:db8::1]:1",
		"tcp://[::ffff:192.0.2.1]:1": "tcp://192.0.2.1:1",
	} {
		if got, err := probe.ParseTarget(in); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v, want %s", in, got, err, want)
		}
	}
	for in, says := range map[string]string{
		"":                    "unknown scheme",
		"192.0.2.1":           "unknown scheme",
		"http://192.0.2.1":    "unknown scheme",
		"icmp://example.com":  "no IP address",
		"icmp://192.0.2.1:80": "no IP address",
		"tcp://192.0.2.1":     "with a port",
		"tcp://192.0.2.1:0":   "with a port",
		"tcp://example.com:1": "with a port",
		"icmp://127.0.0.1":    "not a host of the world",
		"tcp://[::1]:1":       "not a host of the world",
		"icmp://0.0.0.0":      "not a host of the world",
		"icmp://224.0.0.1":    "not a host of the world",
	} {
		if got, err := probe.ParseTarget(in); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "must be icmp://") {
			t.Errorf("%q: %v, %v, want it to say %q", in, got, err, says)
		}
	}
}

// world is a namespace behind a veth.
func world(t *testing.T) (host, inet *nettest.Namespace) {
	t.Helper()
	host, inet = nettest.Host(t), nettest.New(t, "inet")
	host.IP("link add out0 type veth peer name eth0 netns inet")
	t.Cleanup(func() { host.IP("link del out0") })
	for _, n := range []struct {
		of         *nettest.Namespace
		link, last string
	}{{host, "out0", "1"}, {inet, "eth0", "9"}} {
		n.of.IP("addr add 198.51.100." + n.last + "/24 dev " + n.link)
		n.of.IP("addr add 2001:db8:51::" + n.last + "/64 nodad dev " + n.link)
		n.of.IP("link set up dev " + n.link)
	}
	return host, inet
}

func targets(t *testing.T, words ...string) []probe.Target {
	t.Helper()
	var out []probe.Target
	for _, w := range words {
		target, err := probe.ParseTarget(w)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, target)
	}
	return out
}

// TestAsk: what counts as an answer, and what is said where there is none.
func TestAsk(t *testing.T) {
	_, inet := world(t)
	inet.Serve("tcp", "", 443, "inet")
	const (
		echo4, echo6       = "icmp://198.51.100.9", "icmp://2001:db8:51::9"
		open4, refused6    = "tcp://198.51.100.9:443", "tcp://[2001:db8:51::9]:444"
		nobody4, nobody6   = "icmp://198.51.100.77", "tcp://[2001:db8:51::77]:443"
		noRoute4, noRoute6 = "tcp://203.0.113.1:443", "icmp://2001:db8:52::1"
	)
	for _, c := range []struct {
		ask  []string
		says []string // none: it is well
	}{
		{ask: []string{echo4, echo6}},
		{ask: []string{open4, refused6}},
		{ask: []string{nobody4, echo4, noRoute6, echo6}},
		{ask: []string{nobody4}, says: []string{"by IPv4: icmp://198.51.100.77: "}},
		{ask: []string{noRoute4}, says: []string{"by IPv4: tcp://203.0.113.1:443: ", "network is unreachable"}},
		{ask: []string{echo4, noRoute6, nobody6}, says: []string{"by IPv6: icmp://[2001:db8:52::1]: ", "network is unreachable; tcp://[2001:db8:51::77]:443: "}},
		{ask: []string{noRoute4, noRoute6}, says: []string{"by IPv4: ", "; the world does not answer by IPv6: "}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		err := probe.Ask(ctx, targets(t, c.ask...))
		cancel()
		if (err != nil) != (len(c.says) > 0) {
			t.Errorf("%v: %v", c.ask, err)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%v: %v, want it to say %q", c.ask, err, s)
			}
		}
	}
	// It still answers, but not to what this host asks.
	inet.Sysctl("net/ipv4/icmp_echo_ignore_all", "1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := probe.Ask(ctx, targets(t, echo4)); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("a silent host: %v", err)
	}
	if err := probe.Ask(context.Background(), targets(t, echo4)); err == nil {
		t.Error("asked without a deadline")
	}
}

// TestWatch: each way in which an uplink changes is told, and what comes with
// containers is not.
func TestWatch(t *testing.T) {
	host, inet := world(t)
	told := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- probe.Watch(ctx, 4711, func() { told <- struct{}{} })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	host.IP("link add own0 group 4711 type veth peer name own1 group 4711")
	t.Cleanup(func() { host.IP("link del own0") })
	for limit, started := time.After(10*time.Second), false; !started; { // nothing tells that it has begun
		host.IP("route replace 203.0.113.0/24 dev out0")
		host.IP("route del 203.0.113.0/24")
		select {
		case <-told:
			started = true
		case <-time.After(300 * time.Millisecond):
		case <-limit:
			t.Fatal("it did not begin")
		}
	}
	quiet := func() { // until nothing more of the last step comes
		for {
			select {
			case <-told:
			case <-time.After(time.Second):
				return
			}
		}
	}
	for _, c := range []struct {
		what string
		do   func()
	}{
		{"link down", func() { host.IP("link set down dev out0") }},
		{"link up", func() { host.IP("link set up dev out0") }},
		{"carrier lost", func() { inet.IP("link set down dev eth0") }},
		{"carrier back", func() { inet.IP("link set up dev eth0") }},
		{"route", func() { host.IP("route add default via 198.51.100.9") }},
		{"route gone", func() { host.IP("route del default") }},
		{"IPv6 route", func() { host.IP("-6 route add 2001:db8:52::/64 dev out0") }},
		{"address gone", func() { host.IP("addr del 198.51.100.1/24 dev out0") }},
	} {
		quiet()
		c.do()
		select {
		case <-told:
		case <-time.After(10 * time.Second):
			t.Errorf("%s was not told", c.what)
		}
	}
	quiet()
	host.IP("link set own0 mtu 1400")
	host.IP("link set own1 mtu 1400")
	select {
	case <-told:
		t.Error("a link of containers was told")
	case <-time.After(time.Second):
	}
}
