// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"net/netip"
	"testing"
)

func TestIntervals(t *testing.T) {
	for cidr, want := range map[string]string{
		"10.88.0.0/24":      "10.88.1.0",
		"10.255.255.252/30": "11.0.0.0",
		"255.0.0.0/8":       "", // to the end
		"fd00:88::/64":      "fd00:88:0:1::",
		"fd00:88::fffc/126": "fd00:88::1:0",
	} {
		p := netip.MustParsePrefix(cidr)
		got := map[string]string{}
		addInterval(got, p)
		end, there := got[string(p.Addr().AsSlice())]
		wantEnd := ""
		if want != "" {
			wantEnd = string(netip.MustParseAddr(want).AsSlice())
		}
		if !there || end != wantEnd {
			t.Errorf("%s: %v, want up to %s", cidr, got, want)
		}
	}
}

func TestTheFirstOfTwoPortsGetsIt(t *testing.T) {
	c := contentOf(State{Ports: []Port{port(TCP, "0.0.0.0", 80, web4, 1), port(TCP, "0.0.0.0", 80, web2x4, 2), port(UDP, "0.0.0.0", 80, web2x4, 3)}})
	if got := targetOfValue(c[ip4.everywhere][portKey(TCP, netip.IPv4Unspecified(), 80)]); got.String() != web4+":1" {
		t.Errorf("got %v", got)
	}
	if n := len(c[ip4.everywhere]); n != 2 {
		t.Errorf("%d elements", n)
	}
}

func TestJudge(t *testing.T) {
	ap := netip.MustParseAddrPort
	ports := contentOf(State{Ports: []Port{port(TCP, "0.0.0.0", 80, web4, 8000), port(TCP, host4, 81, web4, 8001)}})
	j := judge{
		ports:    ports,
		removed:  contentOf(State{Ports: []Port{port(TCP, "0.0.0.0", 90, web4, 9000)}}),
		behind:   prefixes("10.88.0.0/24"),
		closed:   prefixes("10.89.0.0/24"),
		inside:   prefixes("10.88.0.0/24", "10.89.0.0/24"),
		thisHost: map[netip.Addr]bool{netip.MustParseAddr(host4): true},
	}
	const client = inet4 + ":5000"
	for _, c := range []struct {
		name                     string
		from, to, server, client string
		cut                      bool
	}{
		{"published", client, host4 + ":80", web4 + ":8000", client, false},
		{"published, to the former holder", client, host4 + ":80", web2x4 + ":8000", client, true},
		{"published, to a former port of the holder", client, host4 + ":80", web4 + ":80", client, true},
		{"published, and answered by the host", client, host4 + ":80", host4 + ":80", client, true},
		{"published on one address", client, host4 + ":81", host4 + ":81", client, true},
		{"that port of another host", client, "192.0.2.1:80", "192.0.2.1:80", client, false},
		{"published no more", client, host4 + ":90", web4 + ":9000", client, true},
		{"translated by somebody else", client, host4 + ":90", "172.17.0.2:80", client, false},
		{"masqueraded", web4 + ":6000", inet4 + ":80", inet4 + ":80", host4 + ":6000", false},
		{"not masqueraded", web4 + ":6000", inet4 + ":80", inet4 + ":80", web4 + ":6000", true},
		{"within", web4 + ":6000", db4 + ":80", db4 + ":80", web4 + ":6000", false},
		{"to the host's name server", web4 + ":6000", host4 + ":53", host4 + ":53", web4 + ":6000", false},
		{"from a closed network", db4 + ":6000", inet4 + ":80", inet4 + ":80", db4 + ":6000", true},
		{"of others", "192.0.2.7:1", inet4 + ":80", inet4 + ":80", "192.0.2.7:1", false},
	} {
		f := flow{protocol: TCP, from: ap(c.from), to: ap(c.to), server: ap(c.server), client: ap(c.client)}
		if got := j.contradicts(f); got != c.cut {
			t.Errorf("%s: contradicts: %v, want %v", c.name, got, c.cut)
		}
	}
}
