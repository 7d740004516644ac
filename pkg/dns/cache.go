// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"encoding/binary"
	"errors"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/miekg/dns"
)

// Bounds of the cache: at most maxEntries answers, each kept for a limited
// time whatever its TTL says. One answer has at most maxCached bytes.
const (
	maxEntries  = 4096
	maxCached   = 4096
	maxTTL      = time.Hour
	maxNegative = 5 * time.Minute
)

// cacheKey is a question to some servers.
type cacheKey struct {
	servers  string
	question wireName
	do, cd   bool
}

// entry is an answer of others, without EDNS.
type entry struct {
	msg     []byte
	ttls    []int // where its TTLs are
	at      time.Time
	expires time.Time
}

// cache holds answers of others.
type cache struct{ entries *lru.Cache[cacheKey, *entry] }

func newCache() (*cache, error) {
	entries, err := lru.New[cacheKey, *entry](maxEntries)
	return &cache{entries}, err
}

func (c *cache) get(k cacheKey, now time.Time) *entry {
	e, ok := c.entries.Get(k)
	if !ok || !now.Before(e.expires) {
		return nil
	}
	return e
}

// put keeps an answer. The key must be the caller's own.
func (c *cache) put(k cacheKey, e *entry) {
	if e.expires.After(e.at) && len(e.msg) <= maxCached {
		c.entries.Add(k, e)
	}
}

func (c *cache) clear() { c.entries.Purge() }

// newEntry makes an entry of what a server has said.
func newEntry(m *dns.Msg, now time.Time) (*entry, error) {
	extra := m.Extra[:0:0]
	for _, rr := range m.Extra {
		if rr.Header().Rrtype != dns.TypeOPT {
			extra = append(extra, rr)
		}
	}
	m.Extra = extra
	if m.Rcode > 0xf {
		return nil, errors.New("the answer has an extended code")
	}
	m.Compress = true
	msg, err := m.Pack()
	if err != nil {
		return nil, err
	}
	e := &entry{msg: msg, at: now, expires: now.Add(lifetime(m))}
	var q query
	at, ok := q.parseQuestion(msg)
	for i := 0; ok && i < len(m.Answer)+len(m.Ns)+len(m.Extra); i++ {
		var r record
		if r, at, ok = nextRecord(msg, at); ok {
			e.ttls = append(e.ttls, r.ttlAt)
		}
	}
	if !ok {
		return nil, errors.New("the answer cannot be read")
	}
	return e, nil
}

// lifetime is how long an answer may be kept.
func lifetime(m *dns.Msg) time.Duration {
	if m.Truncated || m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return 0
	}
	least := uint32(maxTTL / time.Second)
	for _, rr := range m.Answer {
		least = min(least, rr.Header().Ttl)
	}
	if len(m.Answer) > 0 && m.Rcode == dns.RcodeSuccess {
		return time.Duration(least) * time.Second
	}
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			least = min(least, soa.Hdr.Ttl, soa.Minttl)
			return min(time.Duration(least)*time.Second, maxNegative)
		}
	}
	return 0
}

// reply appends the answer to a query to out, which is empty, with what is left
// of its TTLs.
func (e *entry) reply(out []byte, q *query, limit int, now time.Time) []byte {
	size := len(e.msg)
	if q.edns {
		size += lenOPT
	}
	have := binary.BigEndian.Uint16(e.msg[2:])
	rcode := int(have & 0xf)
	var flags uint16
	if q.do || q.flags&bitAD != 0 {
		flags = have & bitAD
	}
	if size > limit {
		return q.end(q.begin(out, flags|bitTC, rcode), rcode)
	}
	out = q.begin(out, flags, rcode)
	out = append(out, e.msg[headerLen+len(q.question):]...)
	copy(out[answers:headerLen], e.msg[answers:headerLen])
	age := uint32(max(0, now.Sub(e.at)) / time.Second)
	for _, at := range e.ttls {
		left := binary.BigEndian.Uint32(out[at:])
		binary.BigEndian.PutUint32(out[at:], left-min(age, left))
	}
	return q.end(out, rcode)
}
