// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/vas-solutus/arca-network/pkg/ipam"
)

func TestPickSubnet(t *testing.T) {
	for _, c := range []struct {
		network string
		used    []netip.Prefix
		want    string
	}{
		{"bridge", nil, "172.17.0.0/16"},
		{"bridge", prefixes("172.17.3.0/24"), "172.18.0.0/16"},
		{"other", nil, "172.18.0.0/16"},
		{"other", prefixes("172.16.0.0/12"), "192.168.0.0/20"},
		{"other", prefixes("172.16.0.0/12", "192.168.17.0/24", "192.168.1.0/24"), "192.168.32.0/20"},
		{"other", prefixes("172.16.0.0/12", "192.168.0.0/16"), ""},
		{"other", prefixes("0.0.0.0/0"), ""},
	} {
		got, err := ipam.PickSubnet(c.network, c.used)
		if c.want == "" {
			if !errors.Is(err, ipam.ErrNoSubnet) {
				t.Errorf("%s beside %v: got %v, %v", c.network, c.used, got, err)
			}
			continue
		}
		if err != nil || got.String() != c.want {
			t.Errorf("%s beside %v: got %v, %v, want %s", c.network, c.used, got, err, c.want)
		}
	}
}

func TestPickSubnet6(t *testing.T) {
	id := [5]byte{0x12, 0x34, 0x56, 0x78, 0x9a}
	var all, allButLast []netip.Prefix
	for i := range 1 << 16 {
		p := netip.MustParsePrefix(fmt.Sprintf("fd12:3456:789a:%x::/64", i))
		all = append(all, p)
		if i < 1<<16-1 {
			allButLast = append(allButLast, p)
		}
	}
	for name, c := range map[string]struct {
		used []netip.Prefix
		want string
	}{
		"none":                   {nil, "fd12:3456:789a::/64"},
		"first":                  {all[:1], "fd12:3456:789a:1::/64"},
		"a hole":                 {append(prefixes("fd12:3456:789a:2::/64"), all[:1]...), "fd12:3456:789a:1::/64"},
		"a host route":           {prefixes("fd12:3456:789a::7/128"), "fd12:3456:789a:1::/64"},
		"a larger range":         {prefixes("fd12:3456:789a::/56"), "fd12:3456:789a:100::/64"},
		"host bits":              {prefixes("fd12:3456:789a:77::1/56"), "fd12:3456:789a:100::/64"},
		"another site, and IPv4": {prefixes("fd12:3456:789b::/48", "10.0.0.0/8", "0.0.0.0/0"), "fd12:3456:789a::/64"},
		"the lower half":         {prefixes("fd12:3456:789a::/49"), "fd12:3456:789a:8000::/64"},
		"all but the last":       {allButLast, "fd12:3456:789a:ffff::/64"},
		"all":                    {all, ""},
		"the site":               {prefixes("fd12:3456:789a::/48"), ""},
		"all of fd00::/8":        {prefixes("fd00::/8"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ipam.PickSubnet6(id, c.used)
			if c.want == "" {
				if !errors.Is(err, ipam.ErrNoSubnet6) {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			if err != nil || got.String() != c.want {
				t.Errorf("got %v, %v, want %s", got, err, c.want)
			}
		})
	}
}
