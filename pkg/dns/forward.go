// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

// A server that has not answered within patience gets company by the next, or
// is asked again where there is none, and is probed, which may take as long
// again; after giveUp the client gets SERVFAIL, and after giveUpDown where all
// servers were down and one is only tried.
const (
	patience   = 700 * time.Millisecond
	giveUp     = 3 * time.Second
	giveUpDown = time.Second
)

var errDown = errors.New("no server answers")

// forwarder asks others.
type forwarder struct {
	cache  *cache
	health *health
	flight singleflight.Group
	now    func() time.Time
}

func newForwarder() (*forwarder, error) {
	c, err := newCache()
	if err != nil {
		return nil, err
	}
	h, err := newHealth()
	return &forwarder{cache: c, health: h, now: time.Now}, err
}

// ask returns what the servers say. Equal questions at one time are asked once.
func (f *forwarder) ask(ctx context.Context, servers []netip.AddrPort, key cacheKey) (*entry, error) {
	flight := fmt.Sprintf("%s\x00%s\x00%v%v", key.servers, key.question, key.do, key.cd)
	v, err, _ := f.flight.Do(flight, func() (any, error) {
		if e := f.cache.get(key, f.now()); e != nil {
			return e, nil
		}
		m, err := f.exchange(ctx, servers, key)
		if err != nil {
			return nil, err
		}
		e, err := newEntry(m, f.now())
		if err == nil {
			f.cache.put(key, e)
		}
		return e, err
	})
	if err != nil {
		return nil, err
	}
	return v.(*entry), nil
}

type result struct {
	server netip.AddrPort
	msg    *dns.Msg
	err    error
}

// exchange asks one server after the other until one has a good answer.
func (f *forwarder) exchange(ctx context.Context, servers []netip.AddrPort, key cacheKey) (*dns.Msg, error) {
	order, down := f.health.order(servers, f.now())
	limit, doubtAfter := giveUp, patience
	switch {
	case len(order) == 0:
		return nil, errDown
	case down:
		limit, doubtAfter = giveUpDown, 0
	case len(order) == 1:
		order = append(order, order[0]) // a packet may be lost
	}
	long := ctx // a probe is for others too
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	results := make(chan result, len(order))
	running, next := 0, 0
	launch := func() {
		s := order[next]
		next++
		running++
		go func() {
			from := f.now()
			doubt := time.AfterFunc(doubtAfter, func() { f.probe(long, s, from) })
			m, err := f.askServer(ctx, s, key)
			doubt.Stop()
			if now := f.now(); err != nil && (ctx.Err() == nil || now.Sub(from) >= patience) {
				f.health.failed(s, from, now)
				go f.probe(long, s, from)
			}
			results <- result{s, m, err}
		}()
	}
	launch()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var bad *dns.Msg
	err := errDown
	for running > 0 || next < len(order) {
		if running == 0 {
			launch()
		}
		select {
		case <-timer.C:
			if next < len(order) {
				launch()
			} else if bad != nil {
				return bad, nil
			}
			timer.Reset(patience)
		case r := <-results:
			running--
			switch {
			case r.err != nil:
				err = fmt.Errorf("%s: %w", r.server, r.err)
				if ctx.Err() != nil {
					next = len(order) // no more
				}
			case r.msg.Rcode == dns.RcodeSuccess || r.msg.Rcode == dns.RcodeNameError:
				return r.msg, nil
			default:
				bad = r.msg // another may know better
			}
		}
	}
	if bad != nil {
		return bad, nil
	}
	return nil, err
}

// askServer asks by UDP, and by TCP what does not fit. Who says that it does not
// has answered.
func (f *forwarder) askServer(ctx context.Context, server netip.AddrPort, key cacheKey) (*dns.Msg, error) {
	m, err := askBy(ctx, "udp", server, key)
	if err != nil {
		return nil, err
	}
	f.health.answered(server, f.now())
	if m.Truncated {
		return askBy(ctx, "tcp", server, key)
	}
	return m, nil
}

// rootServers is the question of a probe: each server knows the answer, or says
// at once that it gives none.
const rootServers wireName = "\x00\x00\x02\x00\x01"

// probe asks a server that has not answered what it was asked at a time, unless
// it has answered something else since or is being probed.
func (f *forwarder) probe(ctx context.Context, server netip.AddrPort, asked time.Time) {
	if !f.health.doubt(server, asked) {
		return
	}
	sent := f.now()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := askBy(limited, "udp", server, cacheKey{question: rootServers})
	outcome := probeAnswered
	switch {
	case ctx.Err() != nil:
		outcome = probeGivenUp
	case err != nil:
		outcome = probeSilent
	}
	f.health.probed(server, sent, f.now(), outcome)
}

func askBy(ctx context.Context, transport string, server netip.AddrPort, key cacheKey) (*dns.Msg, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, transport, server.String()) // a port of its own for each question
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	request := question(key)
	stream := transport == "tcp"
	if stream {
		request = append(binary.BigEndian.AppendUint16(nil, uint16(len(request))), request...)
	}
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	if stream {
		request = request[2:]
	}
	buf := make([]byte, 4096)
	for {
		n := 0
		if stream {
			var length [2]byte
			if _, err = io.ReadFull(c, length[:]); err == nil {
				buf = make([]byte, binary.BigEndian.Uint16(length[:]))
				n, err = io.ReadFull(c, buf)
			}
		} else {
			n, err = c.Read(buf)
		}
		if err != nil {
			return nil, err
		}
		m := new(dns.Msg)
		if isAnswer(buf[:n], request, len(key.question)) {
			if err := m.Unpack(buf[:n]); err == nil || m.Truncated {
				return m, nil
			}
		}
		if stream {
			return nil, errors.New("the answer cannot be read")
		}
		// Somebody may be guessing: the right answer can still come.
	}
}

// question is the message that asks.
func question(key cacheKey) []byte {
	flags := uint16(bitRD)
	if key.cd {
		flags |= bitCD
	}
	out := binary.BigEndian.AppendUint16(make([]byte, 0, 300), uint16(rand.Uint32()))
	out = binary.BigEndian.AppendUint16(out, flags)
	out = append(out, 0, 1, 0, 0, 0, 0, 0, 0)
	out = append(out, key.question...)
	q := query{edns: true, do: key.do}
	return q.end(out, 0)
}

// isAnswer tells whether a message answers a request.
func isAnswer(msg, request []byte, question int) bool {
	end := headerLen + question
	return len(msg) >= end && msg[2]&0x80 != 0 && bytes.Equal(msg[:2], request[:2]) &&
		binary.BigEndian.Uint16(msg[4:]) == 1 && equalFold(msg[headerLen:end], request[headerLen:end])
}

func equalFold(a, b []byte) bool {
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}
