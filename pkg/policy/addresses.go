// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"net/netip"
	"slices"

	"go4.org/netipx"

	"github.com/vas-solutus/arca-network/pkg/topology"
)

// addresses says which addresses an end of traffic may have: prefixes and
// names of address sets, by family. Without any in a family nothing of that
// family matches; everywhere matches all.
type addresses struct {
	everywhere bool
	v4, v6     []string
}

func addressesOf(prefixes ...netip.Prefix) addresses {
	var a addresses
	for _, p := range prefixes {
		text := p.String()
		if p.IsSingleIP() {
			text = p.Addr().String()
		}
		if p.Addr().Is4() {
			a.v4 = append(a.v4, text)
		} else {
			a.v6 = append(a.v6, text)
		}
	}
	return a
}

// inSet are the addresses in a pair of address sets.
func inSet(name string) addresses {
	return addresses{v4: []string{"$" + name + "_4"}, v6: []string{"$" + name + "_6"}}
}

// everyNetwork are the addresses of all networks.
func everyNetwork() addresses {
	return addresses{v4: []string{"$" + topology.AddressSetSubnets4}, v6: []string{"$" + topology.AddressSetSubnets6}}
}

// internet are the addresses outside of all networks.
func internet() addresses {
	return addresses{v4: []string{"$" + setInternet4}, v6: []string{"$" + setInternet6}}
}

// and returns the addresses of both.
func (a addresses) and(b addresses) addresses {
	if a.everywhere || b.everywhere {
		return addresses{everywhere: true}
	}
	return addresses{v4: union(a.v4, b.v4), v6: union(a.v6, b.v6)}
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// without returns a prefix less the parts in except, in as few prefixes as
// there can be: "not in" costs OVN a flow for each bit of each prefix.
func without(p netip.Prefix, except []netip.Prefix) []netip.Prefix {
	var b netipx.IPSetBuilder
	b.AddPrefix(p)
	for _, e := range except {
		b.RemovePrefix(e)
	}
	return prefixes(&b)
}

// within returns the parts of some prefixes that lie in others.
func within(these, those []netip.Prefix) []netip.Prefix {
	var a, b netipx.IPSetBuilder
	for _, p := range these {
		a.AddPrefix(p)
	}
	for _, p := range those {
		b.AddPrefix(p)
	}
	set, err := b.IPSet()
	if err != nil {
		return nil
	}
	a.Intersect(set)
	return prefixes(&a)
}

// prefixes of a builder that was given valid prefixes, which cannot fail.
func prefixes(b *netipx.IPSetBuilder) []netip.Prefix {
	set, err := b.IPSet()
	if err != nil {
		return nil
	}
	return set.Prefixes()
}

// unicast are the ranges that routers carry, less those in unroutable.
var unicast = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/0"),
	netip.MustParsePrefix("2000::/3"), netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("64:ff9b::/32"),
}

// unroutable are ranges of this host, of a link or of groups, and the join
// range, which is the host's own.
var unroutable = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"), netip.MustParsePrefix(topology.JoinCIDR),
}

// outside returns what the internet is: all that is in no network.
func outside(networks []Network) (v4, v6 []string) {
	var b netipx.IPSetBuilder
	for _, p := range unicast {
		b.AddPrefix(p)
	}
	for _, p := range unroutable {
		b.RemovePrefix(p)
	}
	for _, n := range networks {
		for _, p := range n.Subnets {
			b.RemovePrefix(p)
		}
	}
	all := addressesOf(prefixes(&b)...)
	return all.v4, all.v6
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}
