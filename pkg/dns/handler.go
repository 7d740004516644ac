// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// handler answers queries, whatever they came by.
type handler struct {
	records *Records
	forward *forwarder
	metrics *metrics
	// host are the servers of the host.
	host atomic.Pointer[upstreams]
	// own are our addresses: nothing is forwarded to them.
	own []netip.Addr

	all, forwarded rate
	start          time.Time
	asking         chan struct{} // bounds how many queries wait for others
}

// upstreams are servers, and their names as a key of the cache.
type upstreams struct {
	servers []netip.AddrPort
	key     string
}

func newUpstreams(servers []netip.AddrPort, own []netip.Addr) *upstreams {
	u := &upstreams{}
	var key strings.Builder
	for _, s := range servers {
		if s.Port() == Port && isOwn(s.Addr(), own) {
			continue
		}
		u.servers = append(u.servers, s)
		key.WriteString(s.String())
		key.WriteByte(' ')
	}
	u.key = key.String()
	return u
}

func isOwn(a netip.Addr, own []netip.Addr) bool {
	for _, o := range own {
		if a.Unmap().WithZone("") == o {
			return true
		}
	}
	return a.IsUnspecified()
}

// pending is a query that others have to answer.
type pending struct {
	query   query
	key     cacheKey
	servers []netip.AddrPort
	limit   int
	limiter *limiter
}

// handle answers a message, appending to out, or returns what is to be asked of
// others. Neither: there is no answer. q is scratch space.
func (h *handler) handle(q *query, out, msg []byte, src netip.Addr, stream bool, turn uint32) ([]byte, *pending) {
	drop, rcode := q.parse(msg)
	if drop {
		h.metrics.count(outcomeMalformed)
		return nil, nil
	}
	s := h.records.Snapshot()
	e, n := s.who(src)
	if e == nil {
		h.metrics.count(outcomeRefused)
		return q.status(out, dns.RcodeRefused), nil
	}
	now := time.Now()
	if !e.limiter.all.allow(int64(now.Sub(h.start)), h.all) {
		h.metrics.count(outcomeLimited)
		return nil, nil
	}
	if rcode != dns.RcodeSuccess {
		h.metrics.count(outcomeMalformed)
		return q.status(out, rcode), nil
	}
	limit := q.udpLimit()
	if stream {
		limit = maxTCP
	}
	v := s.decide(q, e, n)
	switch v.kind {
	case forward:
		return h.others(q, out, e, v.by, limit, now)
	case refused:
		h.metrics.count(outcomeRefused)
	default:
		h.metrics.count(outcomeLocal)
	}
	return v.reply(out, q, limit, turn), nil
}

// others answers from the cache, or returns what is to be asked.
func (h *handler) others(q *query, out []byte, e *endpoint, by *network, limit int, now time.Time) ([]byte, *pending) {
	u := by.upstreams
	if u == nil {
		u = h.host.Load()
	}
	key := cacheKey{servers: u.key, question: q.key(), do: q.do, cd: q.flags&bitCD != 0}
	if hit := h.forward.cache.get(key, now); hit != nil {
		h.metrics.count(outcomeCached)
		return hit.reply(out, q, limit, now), nil
	}
	switch {
	case len(u.servers) == 0 || q.flags&bitRD == 0:
		h.metrics.count(outcomeFailed)
		return q.status(out, dns.RcodeServerFailure), nil
	case !e.limiter.forwarded.allow(int64(now.Sub(h.start)), h.forwarded), !e.limiter.begin():
		h.metrics.count(outcomeLimited)
		return nil, nil
	}
	select {
	case h.asking <- struct{}{}:
	default:
		e.limiter.end()
		h.metrics.count(outcomeFailed)
		return q.status(out, dns.RcodeServerFailure), nil
	}
	p := &pending{query: *q, servers: u.servers, limit: limit, limiter: e.limiter, key: key}
	p.key.question = wireName(strings.Clone(string(key.question)))
	p.query.question = append([]byte(nil), q.question...)
	return nil, p
}

// finish asks others and appends the answer. It takes as long as they do.
func (h *handler) finish(ctx context.Context, out []byte, p *pending) []byte {
	defer h.done(p)
	from := time.Now()
	e, err := h.forward.ask(ctx, p.servers, p.key)
	h.metrics.seconds.Observe(time.Since(from).Seconds())
	if err != nil {
		h.metrics.count(outcomeFailed)
		return p.query.status(out, dns.RcodeServerFailure)
	}
	h.metrics.count(outcomeForwarded)
	return e.reply(out, &p.query, p.limit, time.Now())
}

// done gives back what a pending query holds.
func (h *handler) done(p *pending) {
	<-h.asking
	p.limiter.end()
}
