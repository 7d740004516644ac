// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"
)

// ttl of our own names in seconds, also of the word that there is none: a
// container that is made anew is found at once.
const ttl = 5

// Network is what the server knows of a network.
type Network struct {
	// Name is unique and never asked for; DNSName is what people write. Where
	// that is none in DNS, names are bare only.
	Name, DNSName string
	Subnets       []netip.Prefix
	// Enabled: its endpoints are answered, and its names exist.
	Enabled bool
	// Forward: what is not ours is asked of Upstreams, or where there are none
	// of the host's servers.
	Forward   bool
	Upstreams []netip.AddrPort
}

// Attachment is what the server knows of an endpoint.
type Attachment struct {
	// Name is unique and never asked for.
	Name, Network string
	// Container is the engine's id: one container sees the names of all networks
	// that it is attached to. Empty: of this one alone.
	Container string
	// Names in its network, the one that its addresses stand for first.
	Names     []string
	Addresses []netip.Addr
}

func (a Attachment) equal(b Attachment) bool {
	return a.Name == b.Name && a.Network == b.Network && a.Container == b.Container &&
		slices.Equal(a.Names, b.Names) && slices.Equal(a.Addresses, b.Addresses)
}

// Records makes snapshots of what it is told. The cost of a change depends on
// what changes, and hardly on what is there.
type Records struct {
	current atomic.Pointer[Snapshot]

	mu          sync.Mutex
	networks    map[string]Network
	attachments map[string]Attachment
	// holders are the attachments that have a name, those on a container's id.
	holders    map[holderKey]map[string]struct{}
	containers map[string]map[string]struct{}
}

type holderKey struct {
	network string
	name    wireName
}

// NewRecords returns none.
func NewRecords() *Records {
	r := &Records{
		networks:    map[string]Network{},
		attachments: map[string]Attachment{},
		holders:     map[holderKey]map[string]struct{}{},
		containers:  map[string]map[string]struct{}{},
	}
	r.current.Store(&Snapshot{})
	return r
}

// Snapshot is the present one.
func (r *Records) Snapshot() *Snapshot { return r.current.Load() }

// SetNetwork enters a network or changes it.
func (r *Records) SetNetwork(n Network) {
	r.mu.Lock()
	defer r.mu.Unlock()
	zone := zoneOf(n.DNSName)
	r.networks[n.Name] = n
	s := *r.current.Load()
	now := &network{Network: n, zone: zone}
	if len(n.Upstreams) > 0 {
		now.upstreams = newUpstreams(n.Upstreams, nil)
	}
	before, ok := s.networks.get(n.Name)
	if ok {
		now.names = before.names
	}
	s.networks = s.networks.with(n.Name, now)
	s.subnets = r.subnets()
	if !ok || before.zone != zone {
		for name, a := range r.attachments {
			if a.Network == n.Name {
				r.enter(&s, name, Attachment{}, a)
			}
		}
	}
	r.current.Store(&s)
}

// DeleteNetwork forgets a network.
func (r *Records) DeleteNetwork(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.networks, name)
	s := *r.current.Load()
	s.networks = s.networks.without(name)
	s.subnets = r.subnets()
	r.current.Store(&s)
}

func (r *Records) subnets() (out []subnet) {
	for _, n := range r.networks {
		for _, p := range n.Subnets {
			out = append(out, subnet{p.Masked(), n.Name})
		}
	}
	slices.SortFunc(out, func(x, y subnet) int { return x.prefix.Addr().Compare(y.prefix.Addr()) })
	return out
}

// SetAttachment enters an attachment or changes it.
func (r *Records) SetAttachment(a Attachment) { r.change(a.Name, a) }

// DeleteAttachment forgets an attachment.
func (r *Records) DeleteAttachment(name string) { r.change(name, Attachment{}) }

func (r *Records) change(name string, now Attachment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.attachments[name]
	if before.equal(now) {
		return
	}
	if now.Name == "" {
		delete(r.attachments, name)
	} else {
		r.attachments[name] = now
	}
	s := *r.current.Load()
	r.enter(&s, name, before, now)
	r.current.Store(&s)
}

// enter brings a snapshot from what an attachment was to what it is.
func (r *Records) enter(s *Snapshot, name string, before, now Attachment) {
	r.enterContainer(s, name, before.Container, now.Container)
	r.enterNames(s, name, before, now)
	limiters := map[netip.Addr]*limiter{}
	for _, addr := range before.Addresses {
		// It may be somebody else's by now.
		if e, ok := s.endpoints.get(addr); ok && e.attachment == name {
			limiters[addr] = e.limiter
			s.endpoints = s.endpoints.without(addr)
		}
	}
	for _, addr := range now.Addresses {
		e := &endpoint{attachment: name, network: now.Network, container: now.Container, limiter: limiters[addr]}
		if e.limiter == nil {
			e.limiter = &limiter{}
		}
		if len(now.Names) > 0 {
			e.pointer = pointer(now.Names[0], zoneOf(r.networks[now.Network].DNSName))
		}
		s.endpoints = s.endpoints.with(addr, e)
	}
}

// enterContainer keeps the networks of containers that are on several.
func (r *Records) enterContainer(s *Snapshot, attachment, before, now string) {
	put(r.containers, before, attachment, false)
	put(r.containers, now, attachment, true)
	for _, id := range []string{before, now} {
		if id == "" {
			continue
		}
		var networks []string
		for a := range r.containers[id] {
			networks = append(networks, r.attachments[a].Network)
		}
		slices.Sort(networks)
		if networks = slices.Compact(networks); len(networks) > 1 {
			s.containers = s.containers.with(id, networks)
		} else {
			s.containers = s.containers.without(id)
		}
	}
}

// enterNames makes the names of an attachment stand for its addresses too.
func (r *Records) enterNames(s *Snapshot, attachment string, before, now Attachment) {
	changed := map[holderKey]struct{}{}
	for _, key := range keysOf(before) {
		put(r.holders, key, attachment, false)
		changed[key] = struct{}{}
	}
	for _, key := range keysOf(now) {
		put(r.holders, key, attachment, true)
		changed[key] = struct{}{}
	}
	for key := range changed {
		n, ok := s.networks.get(key.network)
		if !ok {
			continue // SetNetwork will enter it
		}
		next := *n
		if a := r.addressesOf(key); a != nil {
			next.names = n.names.with(key.name, a)
		} else {
			next.names = n.names.without(key.name)
		}
		s.networks = s.networks.with(key.network, &next)
	}
}

// keysOf are the names of an attachment, and those above them: where there is
// a.b there is b, without addresses.
func keysOf(a Attachment) (keys []holderKey) {
	for _, name := range a.Names {
		wire, err := toWire(name)
		if err != nil {
			continue // nobody can ask for it
		}
		wire.parents(func(n wireName) { keys = append(keys, holderKey{a.Network, n}) })
	}
	return keys
}

// put puts a value into a set of sets, or takes it out. The empty key has none.
func put[K comparable](sets map[K]map[string]struct{}, key K, value string, in bool) {
	var none K
	switch {
	case key == none:
	case in && sets[key] == nil:
		sets[key] = map[string]struct{}{value: {}}
	case in:
		sets[key][value] = struct{}{}
	default:
		if delete(sets[key], value); len(sets[key]) == 0 {
			delete(sets, key)
		}
	}
}

// addressesOf makes the records of a name, in order; nil where nobody has it.
func (r *Records) addressesOf(key holderKey) *addresses {
	holders := r.holders[key]
	if len(holders) == 0 {
		return nil
	}
	all := map[netip.Addr]struct{}{}
	for holder := range holders {
		a := r.attachments[holder]
		if a.has(key.name) {
			for _, addr := range a.Addresses {
				all[addr] = struct{}{}
			}
		}
	}
	out := &addresses{}
	for _, addr := range slices.SortedFunc(maps.Keys(all), netip.Addr.Compare) {
		if addr.Is4() {
			out.a = appendRecord(out.a, dns.TypeA, addr.AsSlice())
		} else {
			out.aaaa = appendRecord(out.aaaa, dns.TypeAAAA, addr.AsSlice())
		}
	}
	return out
}

// has tells a name of the attachment from one that is only above one.
func (a Attachment) has(name wireName) bool {
	return slices.ContainsFunc(a.Names, func(s string) bool {
		wire, err := toWire(s)
		return err == nil && wire == name
	})
}

// appendRecord adds a record of the name that was asked for.
func appendRecord(to []byte, kind uint16, data []byte) []byte {
	to = append(to, 0xc0, headerLen) // the name is where the question has it
	to = binary.BigEndian.AppendUint16(to, kind)
	to = binary.BigEndian.AppendUint16(to, dns.ClassINET)
	to = binary.BigEndian.AppendUint32(to, ttl)
	to = binary.BigEndian.AppendUint16(to, uint16(len(data)))
	return append(to, data...)
}

// zoneOf is a network's name on the wire; empty where nobody can ask for it.
func zoneOf(dnsName string) wireName {
	zone, err := toWire(dnsName)
	if err != nil {
		return ""
	}
	return zone
}

// pointer is the record that tells an address's name; nil where it has none
// that can be written.
func pointer(name string, zone wireName) []byte {
	wire, err := toWire(name)
	if err != nil || len(wire)+len(zone) >= maxName {
		return nil
	}
	return appendRecord(nil, dns.TypePTR, append([]byte(wire+zone), 0))
}
