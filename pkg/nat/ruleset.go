// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// TableName is the name of the table, in family inet.
const TableName = "arca"

// chain is a chain with its rules. One without a hook is jumped to.
type chain struct {
	name     string
	kind     nftables.ChainType
	hook     *nftables.ChainHook
	priority *nftables.ChainPriority
	rules    []exprs
}

// join is what the rules know of the link between the router and the host.
type join struct {
	uplink string // the host's interface
	addrs  []netip.Addr
	ports  uint32 // the group of the ports' devices
}

// dnsPort is the only port of the host that endpoints reach.
const dnsPort = 53

// chainsOf are all chains. Nothing in them depends on how many networks or
// ports there are.
func chainsOf(j join) []chain {
	up := j.uplink
	established := rule(ctState(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), accept())
	invalid := rule(ctState(expr.CtStateBitINVALID), drop())

	// What comes from endpoints never has a loopback address, and with the
	// switch route_localnet on the uplink the kernel would no longer see to that.
	first := chain{name: "first", kind: nftables.ChainTypeFilter,
		hook: nftables.ChainHookPrerouting, priority: nftables.ChainPriorityRaw,
		rules: []exprs{
			rule(iifname(up), loopback4(ip4.destAt), drop()),
			rule(iifname(up), loopback4(ip4.sourceAt), drop()),
		}}
	if j.ports != 0 {
		// The userspace datapath takes a copy; the frame itself goes on to here.
		first.rules = append(first.rules, rule(iifgroup(j.ports), drop()))
	}

	// A packet to a loopback address from outside would be dropped later, but
	// not after its destination was translated. On its way out of a local
	// process ::1 is left alone: the kernel does not let it leave lo.
	prerouting := chain{name: "prerouting", kind: nftables.ChainTypeNAT,
		hook: nftables.ChainHookPrerouting, priority: nftables.ChainPriorityNATDest,
		rules: []exprs{rule(loopback4(ip4.destAt), back())}}
	output := chain{name: "output", kind: nftables.ChainTypeNAT,
		hook: nftables.ChainHookOutput, priority: nftables.ChainPriorityNATDest,
		rules: []exprs{rule(daddr(ip6, netip.IPv6Loopback().AsSlice()), back())}}
	postrouting := chain{name: "postrouting", kind: nftables.ChainTypeNAT,
		hook: nftables.ChainHookPostrouting, priority: nftables.ChainPriorityNATSource,
		rules: []exprs{rule(oifname(up), loopback4(ip4.sourceAt), masquerade())}}
	forward := chain{name: "forward", kind: nftables.ChainTypeFilter,
		hook: nftables.ChainHookForward, priority: nftables.ChainPriorityFilter}
	fromEndpoints := chain{name: "from_endpoints", rules: []exprs{established, invalid}}
	toEndpoints := chain{name: "to_endpoints", rules: []exprs{established, invalid, rule(ctStatusDNAT(), accept())}}

	// Nor is anything published at the host's end of the join switch: a name
	// server of ours is there.
	for _, c := range []*chain{&prerouting, &output} {
		for _, a := range j.addrs {
			c.rules = append(c.rules, rule(daddr(familyOf(a), a.AsSlice()), back()))
		}
	}
	for _, f := range families {
		for _, c := range []*chain{&prerouting, &output} {
			c.rules = append(c.rules,
				rule(nfproto(f), translate(f, f.somewhere, true)),
				rule(nfproto(f), toThisHost(), translate(f, f.everywhere, false)))
		}
		postrouting.rules = append(postrouting.rules,
			// From an endpoint through a published port to an endpoint: the
			// answer has to come back here, and would not by itself.
			rule(oifname(up), ctStatusDNAT(), saddrIn(f, f.subnets), masquerade()),
			rule(oifnameNot(up), saddrIn(f, f.masqueraded), masquerade()))
		forward.rules = append(forward.rules,
			rule(nfproto(f), iifnameIn(f.quiet), oifnameIn(f.quiet), drop()))
		fromEndpoints.rules = append(fromEndpoints.rules,
			rule(oifname(up), ctStatusDNAT(), saddrIn(f, f.subnets), accept()))
		toEndpoints.rules = append(toEndpoints.rules,
			rule(daddrIn(f, f.routed), accept()))
	}
	forward.rules = append(forward.rules,
		rule(iifname(up), goTo(fromEndpoints.name)),
		rule(oifname(up), goTo(toEndpoints.name)))
	// Between networks there is no way through the host but published ports.
	fromEndpoints.rules = append(fromEndpoints.rules, rule(oifname(up), drop()))
	for _, f := range families {
		fromEndpoints.rules = append(fromEndpoints.rules,
			rule(saddrIn(f, f.masqueraded), accept()), rule(saddrIn(f, f.routed), accept()))
	}
	fromEndpoints.rules = append(fromEndpoints.rules, drop())
	toEndpoints.rules = append(toEndpoints.rules, drop())

	input := chain{name: "input", kind: nftables.ChainTypeFilter,
		hook: nftables.ChainHookInput, priority: nftables.ChainPriorityFilter,
		rules: []exprs{rule(iifname(up), goTo("endpoints_to_host"))}}
	toHost := chain{name: "endpoints_to_host", rules: []exprs{established, invalid,
		rule(icmpv6Type(135), accept()), rule(icmpv6Type(136), accept())}} // neighbour discovery with the router
	for _, a := range j.addrs {
		f := familyOf(a)
		// The host's end of the join switch is nobody's business outside.
		input.rules = append(input.rules, rule(iifnameNot("lo"), daddr(f, a.AsSlice()), drop()))
		for _, p := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
			toHost.rules = append(toHost.rules, rule(daddr(f, a.AsSlice()), l4proto(p), dport(dnsPort), accept()))
		}
	}
	toHost.rules = append(toHost.rules, drop())

	return []chain{first, prerouting, output, postrouting, forward, fromEndpoints, toEndpoints, input, toHost}
}

// setsOf are all sets and maps, without elements.
func setsOf() []*nftables.Set {
	protocolPort := []nftables.SetDatatype{nftables.TypeInetProto, nftables.TypeInetService}
	var out []*nftables.Set
	for _, f := range families {
		for _, name := range []string{f.subnets, f.masqueraded, f.routed} {
			out = append(out, &nftables.Set{Name: name, KeyType: f.addrType, Interval: true})
		}
		target := nftables.MustConcatSetType(f.addrType, nftables.TypeInetService)
		out = append(out,
			&nftables.Set{Name: f.everywhere, IsMap: true, Concatenation: true,
				KeyType: nftables.MustConcatSetType(protocolPort...), DataType: target},
			&nftables.Set{Name: f.somewhere, IsMap: true, Concatenation: true,
				KeyType: nftables.MustConcatSetType(append([]nftables.SetDatatype{f.addrType}, protocolPort...)...), DataType: target},
			&nftables.Set{Name: f.quiet, KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian},
		)
	}
	return out
}
