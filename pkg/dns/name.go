// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"errors"
	"net/netip"
	"strings"
)

// Limits of RFC 1035.
const (
	maxLabel = 63
	maxName  = 255 // bytes on the wire, with the root's
)

// wireName is a name in the form of the wire without the root's zero byte,
// in lower case: the key of records. Labels are told apart by their lengths,
// so that no byte in them can be taken for a dot.
type wireName string

// toWire converts a name that people write. It fails where the name cannot be
// asked for.
func toWire(name string) (wireName, error) {
	var b strings.Builder
	for _, label := range strings.Split(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > maxLabel {
			return "", errors.New("a label is empty or longer than 63 bytes")
		}
		b.WriteByte(byte(len(label)))
		for i := range len(label) {
			b.WriteByte(lower(label[i]))
		}
	}
	if b.Len() >= maxName {
		return "", errors.New("longer than 255 bytes")
	}
	return wireName(b.String()), nil
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// parents calls fn for the name and each name above it, without the root.
func (n wireName) parents(fn func(wireName)) {
	for len(n) > 0 {
		fn(n)
		n = n[1+int(n[0]):]
	}
}

// reversed is the address that a name of in-addr.arpa or ip6.arpa stands for.
func reversed(q *query) (netip.Addr, bool) {
	const v4, v6 = "\x07in-addr\x04arpa", "\x03ip6\x04arpa"
	switch {
	case q.labels == 6 && string(q.tail(4)) == v4:
		var a [4]byte
		for i := range 4 {
			label := q.label(i)
			if len(label) > 3 || len(label) > 1 && label[0] == '0' {
				return netip.Addr{}, false
			}
			n := 0
			for _, c := range label {
				if c < '0' || c > '9' {
					return netip.Addr{}, false
				}
				n = 10*n + int(c-'0')
			}
			if n > 255 {
				return netip.Addr{}, false
			}
			a[3-i] = byte(n)
		}
		return netip.AddrFrom4(a), true
	case q.labels == 34 && string(q.tail(32)) == v6:
		var a [16]byte
		for i := range 32 {
			label := q.label(i)
			if len(label) != 1 {
				return netip.Addr{}, false
			}
			n := strings.IndexByte("0123456789abcdef", label[0])
			if n < 0 {
				return netip.Addr{}, false
			}
			// The first label is the last nibble.
			if i%2 == 0 {
				a[15-i/2] |= byte(n)
			} else {
				a[15-i/2] |= byte(n) << 4
			}
		}
		return netip.AddrFrom16(a), true
	}
	return netip.Addr{}, false
}
