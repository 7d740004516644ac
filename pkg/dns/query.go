// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"encoding/binary"
	"unsafe"

	"github.com/miekg/dns"
)

const headerLen = 12

// Bits of the header's third and fourth byte.
const (
	bitQR = 1 << 15
	bitAA = 1 << 10
	bitTC = 1 << 9
	bitRD = 1 << 8
	bitRA = 1 << 7
	bitAD = 1 << 5
	bitCD = 1 << 4
)

// query is one request, taken apart. It is reused for the next: nothing in it
// is kept.
type query struct {
	id, flags    uint16
	question     []byte // of the message: name, type and class, as asked
	qtype, class uint16

	// lower is the question in lower case: the name, of n bytes without the
	// root's, then that one, type and class.
	lower   [maxName + 4]byte
	n       int
	offsets [maxName / 2]uint8
	labels  int

	edns    bool
	version uint8
	do      bool
	size    int // the largest answer that the client takes over UDP
}

// parse takes a message apart. drop says that it gets no answer at all; a code
// other than success is the answer.
func (q *query) parse(msg []byte) (drop bool, rcode int) {
	if len(msg) < headerLen {
		return true, 0
	}
	q.id, q.flags = binary.BigEndian.Uint16(msg), binary.BigEndian.Uint16(msg[2:])
	q.question, q.edns, q.version, q.do, q.size = nil, false, 0, false, dns.MinMsgSize
	if q.flags&bitQR != 0 {
		return true, 0
	}
	if opcode := q.flags >> 11 & 0xf; opcode != dns.OpcodeQuery {
		return false, dns.RcodeNotImplemented
	}
	counts := msg[4:headerLen]
	if binary.BigEndian.Uint16(counts) != 1 {
		return false, dns.RcodeFormatError
	}
	rest, ok := q.parseQuestion(msg)
	if !ok {
		q.question = nil
		return false, dns.RcodeFormatError
	}
	// Records that a query has no use for are skipped, in search of EDNS.
	records := int(binary.BigEndian.Uint16(counts[2:])) + int(binary.BigEndian.Uint16(counts[4:]))
	for i := range records + int(binary.BigEndian.Uint16(counts[6:])) {
		r, next, ok := nextRecord(msg, rest)
		if !ok {
			return false, dns.RcodeFormatError
		}
		rest = next
		if r.kind != dns.TypeOPT || i < records {
			continue
		}
		if q.edns || !r.root {
			return false, dns.RcodeFormatError
		}
		q.edns, q.size = true, max(dns.MinMsgSize, int(r.class))
		q.version, q.do = uint8(r.ttl>>16), r.ttl&(1<<15) != 0
	}
	if q.version != 0 {
		return false, dns.RcodeBadVers
	}
	return false, dns.RcodeSuccess
}

func (q *query) parseQuestion(msg []byte) (rest int, ok bool) {
	i := headerLen
	q.n, q.labels = 0, 0
	for {
		if i >= len(msg) {
			return 0, false
		}
		length := int(msg[i])
		if length > maxLabel || i+length >= len(msg) || q.n+length+1 > maxName-1 && length != 0 {
			return 0, false // a pointer cannot be in the first name of a message
		}
		q.lower[q.n] = byte(length)
		if length == 0 {
			break
		}
		q.offsets[q.labels] = uint8(q.n)
		q.labels++
		for j := 1; j <= length; j++ {
			q.lower[q.n+j] = lower(msg[i+j])
		}
		q.n += length + 1
		i += length + 1
	}
	i++
	if i+4 > len(msg) {
		return 0, false
	}
	q.qtype, q.class = binary.BigEndian.Uint16(msg[i:]), binary.BigEndian.Uint16(msg[i+2:])
	q.question = msg[headerLen : i+4]
	copy(q.lower[q.n+1:], msg[i:i+4])
	return i + 4, true
}

// name is the name asked for. It is valid only until the next query: nobody
// keeps it.
func (q *query) name() wireName { return view(q.lower[:q.n]) }

// key is the question as one to look up. It is as short-lived.
func (q *query) key() wireName { return view(q.lower[:q.n+5]) }

// head is the name up to a label, tail from it on.
func (q *query) head(label int) wireName { return view(q.lower[:q.offsets[label]]) }
func (q *query) tail(label int) wireName { return view(q.lower[q.offsets[label]:q.n]) }

func (q *query) label(i int) []byte {
	o := int(q.offsets[i])
	return q.lower[o+1 : o+1+int(q.lower[o])]
}

// view is the bytes as a key to look up, without a copy.
func view(b []byte) wireName {
	return wireName(unsafe.String(unsafe.SliceData(b), len(b)))
}

// record is the head of a resource record.
type record struct {
	root        bool // its owner is the root
	kind, class uint16
	ttl         uint32
	ttlAt       int
	data        []byte
}

// nextRecord reads the record at an offset of a message.
func nextRecord(msg []byte, i int) (r record, next int, ok bool) {
	start := i
	for {
		if i >= len(msg) {
			return r, 0, false
		}
		length := int(msg[i])
		switch {
		case length == 0:
			i++
		case length&0xc0 == 0xc0:
			i += 2
		case length&0xc0 != 0:
			return r, 0, false
		default:
			i += 1 + length
			continue
		}
		break
	}
	if i+10 > len(msg) {
		return r, 0, false
	}
	r.root = i == start+1
	r.kind, r.class = binary.BigEndian.Uint16(msg[i:]), binary.BigEndian.Uint16(msg[i+2:])
	r.ttl, r.ttlAt = binary.BigEndian.Uint32(msg[i+4:]), i+4
	end := i + 10 + int(binary.BigEndian.Uint16(msg[i+8:]))
	if end > len(msg) {
		return r, 0, false
	}
	r.data = msg[i+10 : end]
	return r, end, true
}
