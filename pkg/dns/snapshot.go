// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"slices"
	"sort"

	"github.com/miekg/dns"
)

// Snapshot is all records at one moment. It never changes.
type Snapshot struct {
	endpoints  cow[netip.Addr, *endpoint]
	networks   cow[string, *network]
	containers cow[string, []string] // id → networks, for those on several
	subnets    []subnet              // sorted by address; none overlaps another
}

// endpoint is who has an address.
type endpoint struct {
	attachment string
	network    string
	container  string // id
	pointer    []byte // the name that the address stands for, on the wire
	limiter    *limiter
}

// network is one with its names.
type network struct {
	Network
	zone wireName // empty: no name is below it
	// upstreams are its own; nil: the host's.
	upstreams *upstreams
	names     cow[wireName, *addresses]
}

type subnet struct {
	prefix  netip.Prefix
	network string
}

// addresses are what a name stands for, as records that follow the question.
// Both empty: the name exists for the sake of those below it, and only below
// the network's own.
type addresses struct {
	a, aaaa []byte
}

// Lengths of one record in addresses.
const (
	lenA    = 12 + 4
	lenAAAA = 12 + 16
)

// verdict is what is to be done with a query.
type verdict struct {
	kind  verdictKind
	rcode int
	// records answer, each of size bytes: they are rotated. 0: one record.
	records []byte
	size    int
	// soa is the offset in the question of the zone that denies; -1 is the root.
	soa int
	// by is the network whose servers are asked.
	by *network
}

type verdictKind uint8

const (
	refused  verdictKind = iota
	answered             // with records
	denied               // the name or the type does not exist
	apex                 // the zone itself is asked for
	forward
)

// who finds the client of an address.
func (s *Snapshot) who(src netip.Addr) (*endpoint, *network) {
	e, ok := s.endpoints.get(src)
	if !ok {
		return nil, nil
	}
	n, ok := s.networks.get(e.network)
	if !ok || !n.Enabled {
		return nil, nil
	}
	return e, n
}

// decide tells what a client gets. n is the network that it asks from.
func (s *Snapshot) decide(q *query, e *endpoint, n *network) verdict {
	if q.class != dns.ClassINET {
		return verdict{kind: refused, rcode: dns.RcodeRefused}
	}
	others := s.others(e)
	if v, ours := n.lookup(q); ours {
		return v
	}
	for _, name := range others {
		if other, ok := s.networks.get(name); ok && name != n.Name && other.Enabled {
			if v, ours := other.lookup(q); ours {
				return v
			}
		}
	}
	if addr, ok := reversed(q); ok {
		if v, ours := s.reverse(q, addr, n, others); ours {
			return v
		}
	}
	if n.Forward {
		return verdict{kind: forward, by: n}
	}
	for _, name := range others {
		if other, ok := s.networks.get(name); ok && other.Enabled && other.Forward {
			return verdict{kind: forward, by: other}
		}
	}
	return verdict{kind: denied, rcode: dns.RcodeNameError, soa: -1}
}

// others are the networks of the client's container, where it is on several.
func (s *Snapshot) others(e *endpoint) []string {
	if e.container == "" {
		return nil
	}
	names, _ := s.containers.get(e.container)
	return names
}

// lookup finds a name of the network: bare, or below the network's name. Below
// the network's name nobody else is asked: what is not there does not exist. A
// bare name that is only above others is somebody else's: example.com stays what
// it is where a container is called api.example.com.
func (n *network) lookup(q *query) (v verdict, ours bool) {
	bare, above := n.names.get(q.name())
	if above && !bare.empty() {
		return bare.verdict(q.qtype, -1), true
	}
	for i := range q.labels {
		if q.tail(i) != n.zone {
			continue
		}
		at := int(q.offsets[i])
		if i == 0 {
			return verdict{kind: apex, soa: at}, true
		}
		if a, ok := n.names.get(q.head(i)); ok {
			return a.verdict(q.qtype, at), true
		}
		if above {
			return bare.verdict(q.qtype, at), true
		}
		return verdict{kind: denied, rcode: dns.RcodeNameError, soa: at}, true
	}
	return verdict{}, false
}

func (a *addresses) empty() bool { return len(a.a)+len(a.aaaa) == 0 }

func (a *addresses) verdict(qtype uint16, soa int) verdict {
	switch {
	case qtype == dns.TypeA && len(a.a) > 0:
		return verdict{kind: answered, records: a.a, size: lenA}
	case qtype == dns.TypeAAAA && len(a.aaaa) > 0:
		return verdict{kind: answered, records: a.aaaa, size: lenAAAA}
	}
	return verdict{kind: denied, rcode: dns.RcodeSuccess, soa: soa}
}

// reverse tells the name of an address, where the client may see it. An address
// of ours that it may not see, or that nobody has, has no name; it is never
// asked for outside.
func (s *Snapshot) reverse(q *query, addr netip.Addr, n *network, others []string) (v verdict, ours bool) {
	of, ours := s.networkOf(addr)
	if !ours {
		return verdict{}, false
	}
	none := verdict{kind: denied, rcode: dns.RcodeNameError, soa: -1}
	if of != n.Name && !slices.Contains(others, of) {
		return none, true
	}
	e, ok := s.endpoints.get(addr)
	if !ok || e.network != of || e.pointer == nil {
		return none, true
	}
	if q.qtype != dns.TypePTR {
		return verdict{kind: denied, rcode: dns.RcodeSuccess, soa: -1}, true
	}
	return verdict{kind: answered, records: e.pointer}, true
}

// networkOf finds the network whose subnet an address is in.
func (s *Snapshot) networkOf(addr netip.Addr) (string, bool) {
	i := sort.Search(len(s.subnets), func(i int) bool { return addr.Less(s.subnets[i].prefix.Addr()) })
	if i == 0 || !s.subnets[i-1].prefix.Contains(addr) {
		return "", false
	}
	return s.subnets[i-1].network, true
}
