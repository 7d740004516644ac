// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package openflow

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// version is OpenFlow 1.3, as a message's first byte.
const version = 4

// Types of messages (7.1).
const (
	typeHello          = 0
	typeError          = 1
	typeEchoRequest    = 2
	typeEchoReply      = 3
	typeFlowRemoved    = 11
	typeFlowMod        = 14
	typeBarrierRequest = 20
	typeBarrierReply   = 21
	typeSetAsync       = 28
)

// headerSize is that of version, type, length of all and transaction id.
const headerSize = 8

// message is any message: its body is what follows the header.
type message struct {
	version, kind byte
	id            uint32
	body          []byte
}

func (m message) encode() []byte {
	out := []byte{m.version, m.kind}
	out = binary.BigEndian.AppendUint16(out, uint16(headerSize+len(m.body)))
	return append(binary.BigEndian.AppendUint32(out, m.id), m.body...)
}

// Flow is a flow without instructions: what it matches is dropped.
type Flow struct {
	// Cookie tells flows of one program from those of others.
	Cookie   uint64
	Table    uint8
	Priority uint16
	Match    []Field
}

// Field is one field of a match, all bits of which count.
type Field struct {
	// ID is the field's number in the class OFPXMC_OPENFLOW_BASIC (7.2.3.7).
	ID    uint8
	Value []byte
}

// Fields of a match. Each has its prerequisites, which stand before it.
const (
	fieldEtherType  = 5
	fieldIPProtocol = 10
	fieldICMPv6Type = 29
)

// ICMPv6 matches messages of one type, also behind extension headers.
func ICMPv6(kind uint8) []Field {
	return []Field{
		{ID: fieldEtherType, Value: []byte{0x86, 0xdd}},
		{ID: fieldIPProtocol, Value: []byte{58}},
		{ID: fieldICMPv6Type, Value: []byte{kind}},
	}
}

// flowMod adds the flow; the switch will tell of its removal (7.3.4.1).
func (f Flow) flowMod() []byte {
	const (
		add, sendRemoved = 0, 1
		none             = 0xffffffff // buffer, port and group
	)
	out := binary.BigEndian.AppendUint64(nil, f.Cookie)
	out = binary.BigEndian.AppendUint64(out, 0) // the cookie's mask
	out = append(out, f.Table, add)
	out = binary.BigEndian.AppendUint32(out, 0) // two timeouts: never
	out = binary.BigEndian.AppendUint16(out, f.Priority)
	for range 3 {
		out = binary.BigEndian.AppendUint32(out, none)
	}
	out = binary.BigEndian.AppendUint16(out, sendRemoved)
	out = append(out, 0, 0)
	return append(out, match(f.Match)...)
}

// match is a list of fields, padded to 8 bytes (7.2.3.2).
func match(fields []Field) []byte {
	const oxm, basic = 1, 0x8000
	list := []byte{}
	for _, f := range fields {
		list = binary.BigEndian.AppendUint16(list, basic)
		list = append(list, f.ID<<1, uint8(len(f.Value)))
		list = append(list, f.Value...)
	}
	out := binary.BigEndian.AppendUint16(nil, oxm)
	out = binary.BigEndian.AppendUint16(out, uint16(4+len(list))) // without the padding
	out = append(out, list...)
	return append(out, make([]byte, -len(out)&7)...)
}

// onlyRemovals is the body of a message that asks to be told of removed flows,
// whatever the reason, and of nothing else (7.3.10).
func onlyRemovals() []byte {
	const allReasons = 0xf
	// For packets, ports and flows: what a master or equal is told, and a slave.
	return slices.Concat(make([]byte, 16), []byte{0, 0, 0, allReasons}, make([]byte, 4))
}

// removedCookie is the cookie of a flow that was removed (7.4.2).
func removedCookie(body []byte) (uint64, error) {
	if len(body) < 8 {
		return 0, fmt.Errorf("message about a removed flow has %d bytes, at least 8 are needed", len(body))
	}
	return binary.BigEndian.Uint64(body), nil
}

// Error is what a switch does not accept (7.4.4).
type Error struct{ Type, Code uint16 }

func (e *Error) Error() string {
	return fmt.Sprintf("the switch refuses a message: error type %d, code %d", e.Type, e.Code)
}

func decodeError(body []byte) error {
	if len(body) < 4 {
		return fmt.Errorf("error message has %d bytes, at least 4 are needed", len(body))
	}
	return &Error{Type: binary.BigEndian.Uint16(body), Code: binary.BigEndian.Uint16(body[2:])}
}
