// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vas-solutus/arca-network/pkg/vnet/ovsdb"
)

func TestKeepOffload(t *testing.T) {
	for _, c := range []struct {
		OffloadFacts
		want bool
	}{
		{OffloadFacts{DatapathSystem, false}, true},
		{OffloadFacts{DatapathSystem, true}, true},
		{OffloadFacts{DatapathNetdev, true}, true},
		{OffloadFacts{DatapathNetdev, false}, false},
	} {
		if got := KeepOffload(c.OffloadFacts); got != c.want {
			t.Errorf("%+v: %v", c.OffloadFacts, got)
		}
	}
}

func TestDecideDatapath(t *testing.T) {
	both := []string{DatapathNetdev, DatapathSystem}
	for name, c := range map[string]struct {
		facts datapathFacts
		want  string
	}{
		"configured wins":                  {datapathFacts{Configured: "netdev", Current: "system", Exists: true, Types: both, Module: true}, "netdev"},
		"new, kernel has it":               {datapathFacts{Types: both, Module: true}, "system"},
		"new, listed but no module":        {datapathFacts{Types: both}, "netdev"},
		"new, vswitchd never ran":          {datapathFacts{Module: true}, "system"},
		"new, vswitchd was built without":  {datapathFacts{Types: []string{"netdev"}, Module: true}, "netdev"},
		"existing works, is kept":          {datapathFacts{Exists: true, Current: "netdev", Types: both, Module: true}, "netdev"},
		"existing default works, is kept":  {datapathFacts{Exists: true, Current: "", Types: both, Module: true}, ""},
		"existing cannot work, is changed": {datapathFacts{Exists: true, Current: "", Types: both}, "netdev"},
		"existing is none, is changed":     {datapathFacts{Exists: true, Current: "none", Types: both, Module: true}, "system"},
	} {
		if got := decideDatapath(c.facts); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func prefixes(ss ...string) (out []netip.Prefix) {
	for _, s := range ss {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestPlanAddrs(t *testing.T) {
	have := func(ours bool, ss ...string) (out []addr) {
		for _, p := range prefixes(ss...) {
			a := addr{prefix: p}
			if ours {
				a.proto = originProto
			}
			out = append(out, a)
		}
		return out
	}
	for name, c := range map[string]struct {
		have         []addr
		want, before []netip.Prefix
		del, add     []string
	}{
		"nothing there":            {want: prefixes("10.0.0.1/24", "fd00::1/64"), add: []string{"10.0.0.1/24", "fd00::1/64"}},
		"as wanted":                {have: have(true, "10.0.0.1/24"), want: prefixes("10.0.0.1/24")},
		"wanted twice":             {want: prefixes("10.0.0.1/24", "10.0.0.1/24"), add: []string{"10.0.0.1/24"}},
		"there without our mark":   {have: have(false, "10.0.0.1/24"), want: prefixes("10.0.0.1/24")},
		"of others":                {have: have(false, "10.0.0.9/24", "fe80::1/64")},
		"stale, marked":            {have: have(true, "10.0.0.1/24"), want: prefixes("10.0.0.2/24"), del: []string{"10.0.0.1/24"}, add: []string{"10.0.0.2/24"}},
		"stale, remembered":        {have: have(false, "10.0.0.1/24"), before: prefixes("10.0.0.1/24"), del: []string{"10.0.0.1/24"}},
		"wrong length is another":  {have: have(false, "10.0.0.1/16"), want: prefixes("10.0.0.1/24"), add: []string{"10.0.0.1/24"}},
		"ours with another length": {have: have(true, "10.0.0.1/16"), want: prefixes("10.0.0.1/24"), del: []string{"10.0.0.1/16"}, add: []string{"10.0.0.1/24"}},
	} {
		del, add := planAddrs(c.have, c.want, c.before)
		var gotDel, gotAdd []string
		for _, a := range del {
			gotDel = append(gotDel, a.prefix.String())
		}
		for _, p := range add {
			gotAdd = append(gotAdd, p.String())
		}
		if d := cmp.Diff(c.del, gotDel) + cmp.Diff(c.add, gotAdd); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestPlanRoutes(t *testing.T) {
	r := func(dst, via string, metric int) Route {
		out := Route{Dst: netip.MustParsePrefix(dst), Metric: metric}
		if via != "" {
			out.Via = netip.MustParseAddr(via)
		}
		return out
	}
	narrow := r("0.0.0.0/0", "10.0.0.1", 0)
	narrow.MTU = 1400
	def, def6 := r("0.0.0.0/0", "10.0.0.1", 0), r("::/0", "fd00::1", 0)
	for name, c := range map[string]struct {
		have     []route
		want     []Route
		del, add []Route
	}{
		"on-link before what may need it":    {want: []Route{def, r("10.9.0.0/16", "", 0)}, add: []Route{r("10.9.0.0/16", "", 0), def}},
		"as wanted":                          {have: []route{{def, true}}, want: []Route{def}},
		"IPv6 without a metric is 1024":      {have: []route{{r("::/0", "fd00::1", 1024), true}}, want: []Route{def6}},
		"host bits do not matter":            {have: []route{{r("10.9.0.0/16", "", 0), true}}, want: []Route{r("10.9.1.1/16", "", 0)}},
		"of others":                          {have: []route{{r("10.9.0.0/16", "10.0.0.7", 0), false}}},
		"of others, the same as wanted":      {have: []route{{def, false}}, want: []Route{def}, add: []Route{def}},
		"stale":                              {have: []route{{def, true}}, del: []Route{def}},
		"another next hop":                   {have: []route{{def, true}}, want: []Route{r("0.0.0.0/0", "10.0.0.2", 0)}, del: []Route{def}, add: []Route{r("0.0.0.0/0", "10.0.0.2", 0)}},
		"another metric is another":          {have: []route{{def, true}}, want: []Route{r("0.0.0.0/0", "10.0.0.1", 5)}, del: []Route{def}, add: []Route{r("0.0.0.0/0", "10.0.0.1", 5)}},
		"another mtu is another":             {have: []route{{def, true}}, want: []Route{narrow}, del: []Route{def}, add: []Route{narrow}},
		"wanted twice (differently spelled)": {want: []Route{r("10.9.1.0/16", "", 0), r("10.9.0.0/16", "", 0)}, add: []Route{r("10.9.0.0/16", "", 0)}},
	} {
		del, add := planRoutes(c.have, c.want)
		opt := cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
		if d := cmp.Diff(c.del, del, opt) + cmp.Diff(c.add, add, opt); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// What stands in a namespace with the rules of link 7: those of a sibling (8) and
// of a person stay, those of a link that is gone (9) go with what changed of ours.
func TestPlanRules(t *testing.T) {
	prefix := netip.MustParsePrefix
	routes := []Route{{Dst: prefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.1.0.1"), Metric: 5}}
	of := func(link int, addrs ...string) []rule {
		var ps []netip.Prefix
		for _, a := range addrs {
			ps = append(ps, prefix(a))
		}
		rules, _ := sourceRouting(link, ps, routes)
		return rules
	}
	theirs := rule{From: prefix("10.1.0.2/32"), Pref: prefTable, Table: 100}
	want := of(7, "10.1.0.2/16", "fd00::2/64")
	if len(want) != 4 {
		t.Fatalf("rules of an address without a default route: %v", want)
	}
	if _, table := sourceRouting(7, nil, routes); len(table) != 1 || table[0].Table != tableBase+7 || table[0].Metric != 5 {
		t.Errorf("table: %v", table)
	}
	for name, c := range map[string]struct {
		have     []rule
		want     []rule
		del, add []rule
	}{
		"none yet":              {want: want, add: want},
		"as wanted":             {have: append(of(8, "10.2.0.2/16"), append(want, theirs)...), want: want},
		"one removed by hand":   {have: want[1:], want: want, add: want[:1]},
		"another address":       {have: of(7, "10.1.0.3/16"), want: want, add: []rule{want[0], want[1], want[2]}, del: reversed(of(7, "10.1.0.3/16")[:3])},
		"alone again":           {have: append(of(8, "10.2.0.2/16"), append(want, theirs)...), del: reversed(want)},
		"of a link that went":   {have: append(of(9, "10.9.0.2/16"), want...), want: want, del: reversed(of(9, "10.9.0.2/16"))},
		"no owner is left":      {have: []rule{of(9, "10.9.0.2/16")[1]}, del: []rule{of(9, "10.9.0.2/16")[1]}},
		"of a person, unmarked": {have: []rule{theirs}},
	} {
		del, add, err := planRules(c.have, c.want, 7, func(link int) (bool, error) { return link == 8, nil })
		if err != nil || !slices.Equal(del, c.del) || !slices.Equal(add, c.add) {
			t.Errorf("%s: %v\n del %v\nwant %v\n add %v\nwant %v", name, err, del, c.del, add, c.add)
		}
	}
}

func reversed(rules []rule) []rule {
	out := slices.Clone(rules)
	slices.Reverse(out)
	return out
}

func TestDiffRows(t *testing.T) {
	want := plugged{Port: vethPort(1, "/run/netns/x"), ifindex: 7}
	right := func() rows {
		ids := map[string]string{"ovn-installed": "true", "theirs": "stays"}
		for k, v := range want.ifaceIDs() {
			if v != "" {
				ids[k] = v
			}
		}
		return rows{
			port:  &ovsdb.Port{UUID: "p", Name: want.Name, Interfaces: []string{"i"}, ExternalIDs: want.portIDs()},
			iface: &ovsdb.Interface{UUID: "i", Name: want.Name, ExternalIDs: ids},
		}
	}
	one, none, str := 1, -1, "x"
	for name, c := range map[string]struct {
		edit   func(*rows)
		ops    int
		replug bool
	}{
		"right":                      {edit: func(*rows) {}},
		"ids of others":              {edit: func(r *rows) { r.iface.ExternalIDs["more"] = "1"; r.port.ExternalIDs["more"] = "1" }},
		"iface-id":                   {edit: func(r *rows) { r.iface.ExternalIDs["iface-id"] = "other" }, ops: 1},
		"owner of both":              {edit: func(r *rows) { r.iface.ExternalIDs = nil; r.port.ExternalIDs = nil }, ops: 2},
		"tag":                        {edit: func(r *rows) { r.port.Tag = &one }, ops: 1},
		"mac of a system device":     {edit: func(r *rows) { r.iface.MAC = &str }, ops: 1},
		"type":                       {edit: func(r *rows) { r.iface.Type = "tap" }, ops: 1, replug: true},
		"another device, held":       {edit: func(r *rows) { r.iface.ExternalIDs[keyIfindex] = "6"; r.iface.Ofport = &one }, ops: 1, replug: true},
		"another device, given up":   {edit: func(r *rows) { r.iface.ExternalIDs[keyIfindex] = "6"; r.iface.Ofport = &none; r.iface.Error = &str }, ops: 1},
		"another device, old error":  {edit: func(r *rows) { r.iface.ExternalIDs[keyIfindex] = "6"; r.iface.Ofport = &one; r.iface.Error = &str }, ops: 1, replug: true},
		"another device, none known": {edit: func(r *rows) { delete(r.iface.ExternalIDs, keyIfindex); r.iface.Ofport = &one }, ops: 1},
		"offload note left":          {edit: func(r *rows) { r.iface.ExternalIDs[keyTxOffload] = "off" }, ops: 1},
	} {
		have := right()
		c.edit(&have)
		d := diffRows(want, have)
		ops := updateRows(want, have, d)
		if len(ops) != c.ops || d.empty() != (c.ops == 0) {
			t.Errorf("%s: %d operations, want %d; diff %+v", name, len(ops), c.ops, d)
		}
		if got := needsReplug(want, have); got != c.replug {
			t.Errorf("%s: replug %v", name, got)
		}
	}
}

func TestLinkAlias(t *testing.T) {
	o := Owner{Kind: "Attachment", Name: "web", UID: "6f1c/x"}
	got, ok := parseLinkAlias(linkAlias(o))
	if !ok || got != (Owner{Kind: o.Kind, UID: o.UID}) {
		t.Errorf("%q: %+v, %v", linkAlias(o), got, ok)
	}
	for _, s := range []string{"", "arca:", "arca:x", "arca:/u", "arca:k/", "other:k/u", "xarca:k/u"} {
		if o, ok := parseLinkAlias(s); ok {
			t.Errorf("%q is taken for %+v", s, o)
		}
	}
}

func TestLastAddr(t *testing.T) {
	for in, want := range map[string]string{"10.1.2.3/24": "10.1.2.255", "10.1.2.3/20": "10.1.15.255", "0.0.0.0/0": "255.255.255.255"} {
		if got := lastAddr(netip.MustParsePrefix(in)).String(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestCloneIsDeep(t *testing.T) {
	n, s := 1, "a"
	from := &ovsdb.Interface{Name: "x", ExternalIDs: map[string]string{"k": "v"}, Ofport: &n, Error: &s}
	c := from.CloneModel().(*ovsdb.Interface)
	if d := cmp.Diff(from, c); d != "" {
		t.Fatal(d)
	}
	c.ExternalIDs["k"], *c.Ofport, *c.Error = "w", 2, "b"
	if from.ExternalIDs["k"] != "v" || *from.Ofport != 1 || *from.Error != "a" {
		t.Errorf("the original changed: %+v", from)
	}
	p := (&ovsdb.Port{Interfaces: []string{"i"}}).CloneModel().(*ovsdb.Port)
	if len(p.Interfaces) != 1 {
		t.Errorf("%+v", p)
	}
}
