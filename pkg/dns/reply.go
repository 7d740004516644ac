// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// ednsSize is the largest UDP message that we take and send: one that no link
// of usual MTU has to fragment.
const ednsSize = 1232

// maxTCP is the largest message over TCP.
const maxTCP = 65535

// udpLimit is the largest answer to a query over UDP.
func (q *query) udpLimit() int { return min(q.size, ednsSize) }

// begin appends the header and the question of an answer to out, which is empty.
func (q *query) begin(out []byte, flags uint16, rcode int) []byte {
	flags |= bitQR | bitRA | q.flags&(0xf<<11|bitRD|bitCD) | uint16(rcode&0xf)
	out = binary.BigEndian.AppendUint16(out, q.id)
	out = binary.BigEndian.AppendUint16(out, flags)
	questions := uint16(1)
	if q.question == nil {
		questions = 0
	}
	out = binary.BigEndian.AppendUint16(out, questions)
	out = append(out, 0, 0, 0, 0, 0, 0)
	return append(out, q.question...)
}

// lenOPT is the length of our EDNS record.
const lenOPT = 11

// end appends the EDNS record where the client has sent one.
func (q *query) end(out []byte, rcode int) []byte {
	if !q.edns {
		return out
	}
	count(out, additional, 1)
	flags := byte(0)
	if q.do {
		flags = 0x80
	}
	out = append(out, 0, 0, byte(dns.TypeOPT))
	out = binary.BigEndian.AppendUint16(out, ednsSize)
	return append(out, byte(rcode>>4), 0, flags, 0, 0, 0)
}

// Offsets of the counts in a header.
const (
	answers    = 6
	authority  = 8
	additional = 10
)

func count(msg []byte, what, n int) {
	binary.BigEndian.PutUint16(msg[what:], binary.BigEndian.Uint16(msg[what:])+uint16(n))
}

// status is an answer of nothing but a code.
func (q *query) status(out []byte, rcode int) []byte {
	return q.end(q.begin(out, 0, rcode), rcode)
}

// reply appends the answer to a query that is not forwarded to out, which is
// empty. Records that do not fit are left out and TC tells to ask by TCP. turn
// rotates the others.
func (v verdict) reply(out []byte, q *query, limit int, turn uint32) []byte {
	if v.kind == refused {
		return q.status(out, v.rcode)
	}
	out = q.begin(out, bitAA, v.rcode)
	switch {
	case v.kind == answered:
		room := limit - len(out)
		if q.edns {
			room -= lenOPT
		}
		out = v.rotate(out, room, turn)
	case v.kind == apex && q.qtype == dns.TypeSOA:
		out = appendSOA(out, v.soa)
		count(out, answers, 1)
	default:
		out = appendSOA(out, v.soa)
		count(out, authority, 1)
	}
	return q.end(out, v.rcode)
}

func (v verdict) rotate(out []byte, room int, turn uint32) []byte {
	size := v.size
	if size == 0 {
		size = len(v.records)
	}
	n := len(v.records) / size
	fit := min(n, room/size)
	first := int(turn) % n
	for i := range fit {
		at := (first + i) % n * size
		out = append(out, v.records[at:at+size]...)
	}
	count(out, answers, fit)
	if fit < n && room < ednsSize { // by TCP there is no more to be had
		out[2] |= bitTC >> 8
	}
	return out
}

// appendSOA adds what says how long a denial is good for. zone is the offset
// of its name in the question, or -1 for the root.
func appendSOA(out []byte, zone int) []byte {
	if zone < 0 {
		out = append(out, 0)
	} else {
		at := uint16(headerLen + zone)
		out = append(out, 0xc0|byte(at>>8), byte(at))
	}
	out = binary.BigEndian.AppendUint16(out, dns.TypeSOA)
	out = binary.BigEndian.AppendUint16(out, dns.ClassINET)
	out = binary.BigEndian.AppendUint32(out, ttl)
	out = binary.BigEndian.AppendUint16(out, 22)
	out = append(out, 0, 0) // no server and nobody's mailbox
	for _, n := range []uint32{1, 3600, 600, 86400, ttl} {
		out = binary.BigEndian.AppendUint32(out, n)
	}
	return out
}
