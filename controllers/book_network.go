// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ipam"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// networkEntry is what a network holds.
type networkEntry struct {
	uid     string
	name    string               // DNS name, in lower case; empty where it has none
	spec    v1alpha1.NetworkSpec // what was granted
	want    []v1alpha1.Subnet    // what the pools were made from
	subnets []v1alpha1.SubnetStatus
	pools   []*ipam.Pool
	macs    *ipam.MACTable

	holders map[string]*attachmentEntry // by attachment
	members map[string]string           // container id or name → attachment
	// linkLocals are link-local addresses, also those that MAC addresses make → attachment
	linkLocals map[netip.Addr]string
	refused    map[string]*v1alpha1.Attachment // attachments that wait
	// left are addresses that attachments had which are gone, by the MAC address that
	// they asked for: who comes back with it gets them again where they are free.
	left map[string][]netip.Prefix
}

// maxLeft bounds networkEntry.left.
const maxLeft = 1024

// AcquireNetwork gives a network its name and its subnets: those that it holds
// already, those that its spec names, or some that are free.
func (b *Book) AcquireNetwork(n *v1alpha1.Network) ([]v1alpha1.SubnetStatus, *Refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting := []*v1alpha1.Network{}
	for _, w := range b.refused {
		if w.Name != n.Name && older(w, n) < 0 {
			waiting = append(waiting, w)
		}
	}
	slices.SortFunc(waiting, func(x, y *v1alpha1.Network) int { return older(x, y) })
	for _, w := range waiting {
		if _, why := b.acquireNetwork(w); why == nil {
			b.wakeNetworks(w.Name)
		}
	}
	return b.acquireNetwork(n)
}

// NetworkInForce is the spec in force of a network, whose present one is refused;
// nil where there is none.
func (b *Book) NetworkInForce(n *v1alpha1.Network) *v1alpha1.NetworkSpec {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.networks[n.Name]; e != nil && e.uid == string(n.UID) {
		return e.spec.DeepCopy()
	}
	return nil
}

func (b *Book) acquireNetwork(n *v1alpha1.Network) ([]v1alpha1.SubnetStatus, *Refusal) {
	e := b.networks[n.Name]
	if e != nil && e.uid != string(n.UID) {
		b.dropNetwork(n.Name) // a new object under an old name
		e = nil
	}
	why := b.tryNetwork(n, e)
	if why != nil {
		b.refused[n.Name] = n.DeepCopy()
		return nil, why
	}
	delete(b.refused, n.Name)
	now := b.networks[n.Name]
	n.Spec.DeepCopyInto(&now.spec)
	return now.subnets, nil
}

func (b *Book) tryNetwork(n *v1alpha1.Network, e *networkEntry) *Refusal {
	name := n.EffectiveDNSName()
	if holder, taken := b.names[strings.ToLower(name)]; taken && holder != n.Name {
		return &Refusal{v1alpha1.ReasonNameConflict, fmt.Sprintf(
			"spec.dnsName: %q is the name of network %s; choose another", name, holder)}
	}
	want, why := b.wanted(n, e)
	if why != nil {
		return why
	}
	if e != nil && equality.Semantic.DeepEqual(e.want, want) {
		b.rename(n.Name, e, name)
		return nil
	}
	if e != nil && len(e.holders) > 0 && !sameRanges(e.subnets, want) {
		return &Refusal{v1alpha1.ReasonSubnetInUse, fmt.Sprintf(
			"spec.subnets: %d attachments hold addresses of %s; delete them before changing its range or gateway",
			len(e.holders), join(e.subnets))}
	}
	for _, s := range want {
		if why := b.overlap(n.Name, netip.MustParsePrefix(s.CIDR)); why != nil {
			return why
		}
	}
	return b.enterNetwork(n, name, want, e)
}

// overlap tells who else holds a part of a range.
func (b *Book) overlap(network string, cidr netip.Prefix) *Refusal {
	for what, r := range reservedRanges {
		if r.Overlaps(cidr) {
			return &Refusal{v1alpha1.ReasonSubnetOverlap, fmt.Sprintf(
				"spec.subnets: %s overlaps %s, %s; choose another range", cidr, r, what)}
		}
	}
	own := b.networks[network]
	if own != nil {
		for _, s := range own.subnets {
			b.subnets.Remove(netip.MustParsePrefix(s.CIDR))
		}
		defer func() {
			for _, s := range own.subnets {
				b.subnets.Insert(netip.MustParsePrefix(s.CIDR), network)
			}
		}()
	}
	if holder, taken := b.subnets.Overlap(cidr); taken {
		return &Refusal{v1alpha1.ReasonSubnetOverlap, fmt.Sprintf(
			"spec.subnets: %s overlaps %s of network %s; choose another range or delete that network",
			cidr, join(b.networks[holder].subnets), holder)}
	}
	return nil
}

// enterNetwork writes a grant into the book. Where the network had one, its
// holders keep what they have.
func (b *Book) enterNetwork(n *v1alpha1.Network, name string, want []v1alpha1.Subnet, old *networkEntry) *Refusal {
	e := &networkEntry{
		uid:        string(n.UID),
		want:       slices.Clone(want),
		macs:       ipam.NewMACTable(),
		holders:    map[string]*attachmentEntry{},
		members:    map[string]string{},
		linkLocals: map[netip.Addr]string{},
		refused:    map[string]*v1alpha1.Attachment{},
		left:       map[string][]netip.Prefix{},
	}
	if old != nil {
		e.left = old.left
	}
	for _, s := range want {
		pool, err := newPool(s)
		if err != nil {
			return &Refusal{v1alpha1.ReasonAddressNotUsable, "spec.subnets: " + err.Error()}
		}
		e.subnets = append(e.subnets, v1alpha1.SubnetStatus{CIDR: pool.CIDR().String(), Gateway: pool.Gateway().String()})
		e.pools = append(e.pools, pool)
	}
	_ = e.macs.Claim(routerHolder, topology.RouterMAC(n.Name))
	if old != nil {
		e.name, e.macs, e.holders, e.members, e.refused = old.name, old.macs, old.holders, old.members, old.refused
		e.linkLocals = old.linkLocals
		for _, s := range old.subnets {
			b.subnets.Remove(netip.MustParsePrefix(s.CIDR))
		}
		b.wakeNetworks(slices.Collect(maps.Keys(b.refused))...)
		for holder, a := range e.holders {
			for _, p := range a.addresses {
				if pool := e.poolOf(p.Addr()); pool != nil {
					_ = pool.Restore(holder, p.Addr())
				}
			}
		}
	}
	for _, s := range e.subnets {
		b.subnets.Insert(netip.MustParsePrefix(s.CIDR), n.Name)
	}
	b.networks[n.Name] = e
	b.rename(n.Name, e, name)
	return nil
}

func (e *networkEntry) poolOf(a netip.Addr) *ipam.Pool {
	for _, p := range e.pools {
		if p.CIDR().Contains(a) {
			return p
		}
	}
	return nil
}

// rename gives a network a DNS name, or none.
func (b *Book) rename(network string, e *networkEntry, name string) {
	name = strings.ToLower(name)
	if e.name != name && b.names[e.name] == network {
		delete(b.names, e.name)
		b.wakeNetworks(slices.Collect(maps.Keys(b.refused))...)
	}
	e.name = name
	if name != "" {
		b.names[name] = network
	}
}

// wanted are the subnets that a spec asks for: those that it names, and for each
// family besides them the one that the network has, or one that is free.
func (b *Book) wanted(n *v1alpha1.Network, e *networkEntry) ([]v1alpha1.Subnet, *Refusal) {
	families := n.Spec.IPFamilies
	if len(families) == 0 && len(n.Spec.Subnets) == 0 {
		if e != nil {
			return e.want, nil
		}
		families = []v1alpha1.IPFamily{v1alpha1.IPv4}
	}
	want := slices.Clone(n.Spec.Subnets)
	for _, f := range families {
		of := func(s v1alpha1.Subnet) bool { return familyOf(s.CIDR) == f }
		if slices.ContainsFunc(want, of) {
			continue
		}
		if e != nil {
			if i := slices.IndexFunc(e.want, of); i >= 0 {
				want = append(want, e.want[i])
				continue
			}
		}
		chosen, why := b.chooseSubnet(n, f)
		if why != nil {
			return nil, why
		}
		want = append(want, chosen)
	}
	return want, nil
}

func familyOf(cidr string) v1alpha1.IPFamily {
	if p, err := netip.ParsePrefix(cidr); err == nil && p.Addr().Is6() {
		return v1alpha1.IPv6
	}
	return v1alpha1.IPv4
}

func (b *Book) chooseSubnet(n *v1alpha1.Network, family v1alpha1.IPFamily) (v1alpha1.Subnet, *Refusal) {
	used := b.subnets.Prefixes()
	for _, r := range reservedRanges {
		used = append(used, r)
	}
	routes, err := b.hostRoutes()
	if err != nil {
		return v1alpha1.Subnet{}, &Refusal{v1alpha1.ReasonPoolExhausted, "reading the host's routes: " + err.Error()}
	}
	var p netip.Prefix
	if family == v1alpha1.IPv6 {
		p, err = ipam.PickSubnet6(globalID(n), append(used, routes...))
	} else {
		p, err = ipam.PickSubnet(n.Name, append(used, routes...))
	}
	if err != nil {
		return v1alpha1.Subnet{}, &Refusal{v1alpha1.ReasonPoolExhausted, fmt.Sprintf(
			"spec.subnets: no default %s subnet is free (%v); name one", family, err)}
	}
	return v1alpha1.Subnet{CIDR: p.String()}, nil
}

// globalID is as random as the network's UID, which it is made of: nothing needs
// to be kept but the subnet itself, in status.
func globalID(n *v1alpha1.Network) (id [5]byte) {
	sum := sha256.Sum256([]byte("arca/ula/" + n.UID))
	copy(id[:], sum[:])
	return id
}

// restoreNetwork enters what a status says, before anything is granted. Ranges
// are held whatever the spec says now, and the name where nobody else has it.
func (b *Book) restoreNetwork(object *v1alpha1.Network) {
	n := object.AsInForce()
	have := asSpec(n.Status.Subnets)
	for _, s := range have {
		cidr, err := netip.ParsePrefix(s.CIDR)
		if err != nil || b.overlap(n.Name, cidr) != nil {
			return // it will be decided anew
		}
	}
	want := slices.Clone(have)
	for i := range want {
		for _, s := range n.Spec.Subnets {
			// The spec says more (range, reserved) where it is what is in force.
			if sameRanges(n.Status.Subnets[i:i+1], []v1alpha1.Subnet{s}) {
				want[i] = s
			}
		}
	}
	name := n.EffectiveDNSName()
	if _, taken := b.names[strings.ToLower(name)]; taken {
		name = ""
	}
	if why := b.enterNetwork(n, name, want, nil); why != nil && b.enterNetwork(n, name, have, nil) != nil {
		return
	}
	e := b.networks[n.Name]
	n.Spec.DeepCopyInto(&e.spec)
	if !decided(object) {
		e.spec.IPFamilies, e.spec.Subnets, e.spec.DNSName = nil, e.want, name
	}
}

// ReleaseNetwork forgets a network that is gone.
func (b *Book) ReleaseNetwork(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.refused, name)
	b.dropNetwork(name)
}

func (b *Book) dropNetwork(name string) {
	e := b.networks[name]
	if e == nil {
		return
	}
	for _, s := range e.subnets {
		b.subnets.Remove(netip.MustParsePrefix(s.CIDR))
	}
	if b.names[e.name] == name {
		delete(b.names, e.name)
	}
	delete(b.networks, name)
	b.wakeNetworks(slices.Collect(maps.Keys(b.refused))...)
}

func newPool(s v1alpha1.Subnet) (*ipam.Pool, error) {
	var (
		in  ipam.Subnet
		err error
	)
	if in.CIDR, err = netip.ParsePrefix(s.CIDR); err != nil {
		return nil, err
	}
	if s.Gateway != "" {
		if in.Gateway, err = netip.ParseAddr(s.Gateway); err != nil {
			return nil, err
		}
	}
	if s.AllocationRange != "" {
		if in.AllocationRange, err = netip.ParsePrefix(s.AllocationRange); err != nil {
			return nil, err
		}
	}
	for _, r := range s.Reserved {
		a, err := netip.ParseAddr(r)
		if err != nil {
			return nil, err
		}
		in.Reserved = append(in.Reserved, a)
	}
	return ipam.NewPool(in)
}

// asSpec is the spec that stands for what is in force.
func asSpec(in []v1alpha1.SubnetStatus) []v1alpha1.Subnet {
	out := make([]v1alpha1.Subnet, len(in))
	for i, s := range in {
		out[i] = v1alpha1.Subnet{CIDR: s.CIDR, Gateway: s.Gateway}
	}
	return out
}

// sameRanges tells whether ranges and gateways stay what they are, in whatever
// order and form they are written.
func sameRanges(have []v1alpha1.SubnetStatus, want []v1alpha1.Subnet) bool {
	is := func(h v1alpha1.SubnetStatus, w v1alpha1.Subnet) bool {
		pool, err := newPool(w)
		if err != nil {
			return false
		}
		cidr, err := netip.ParsePrefix(h.CIDR)
		return err == nil && pool.CIDR() == cidr && pool.Gateway().String() == h.Gateway
	}
	if len(have) != len(want) {
		return false
	}
	for _, h := range have {
		if !slices.ContainsFunc(want, func(w v1alpha1.Subnet) bool { return is(h, w) }) {
			return false
		}
	}
	return true
}

func join(subnets []v1alpha1.SubnetStatus) string {
	out := ""
	for i, s := range subnets {
		if i > 0 {
			out += " and "
		}
		out += s.CIDR
	}
	return out
}
