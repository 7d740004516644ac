// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package openflow

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// Limits of waiting for a switch: an answer, and a sign of life of one that has
// nothing to tell.
const (
	answerTimeout = 5 * time.Second
	probeAfter    = 10 * time.Second
)

// Keep connects to a bridge's management socket and has the flow there until ctx
// is done or the connection ends: when somebody removes it, it is put back at
// once, and removed is called. Each time that the bridge has it, held is called.
// The flow stays at the end. It returns nil only if ctx is done.
func Keep(ctx context.Context, socket string, f Flow, held, removed func()) error {
	err := keep(ctx, socket, f, held, removed)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func keep(ctx context.Context, socket string, f Flow, held, removed func()) error {
	d := net.Dialer{Timeout: answerTimeout}
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	if err := handshake(c); err != nil {
		return err
	}
	if err := send(c, typeSetAsync, onlyRemovals()); err != nil {
		return err
	}
	if err := put(c, f); err != nil {
		return err
	}
	asked := true
	for {
		wait := probeAfter
		if asked {
			wait = answerTimeout
		}
		m, err := receive(c, wait)
		if errors.Is(err, os.ErrDeadlineExceeded) && !asked {
			// A flow that is there already is added without effect. That is a
			// sign of life and puts right what nothing told of.
			if err := put(c, f); err != nil {
				return err
			}
			asked = true
			continue
		}
		if err != nil {
			return err
		}
		switch m.kind {
		case typeError:
			return decodeError(m.body)
		case typeEchoRequest:
			if err := write(c, message{version: version, kind: typeEchoReply, id: m.id, body: m.body}); err != nil {
				return err
			}
		case typeBarrierReply:
			asked = false
			held()
		case typeFlowRemoved:
			cookie, err := removedCookie(m.body)
			if err != nil {
				return err
			}
			if cookie != f.Cookie {
				continue
			}
			if err := put(c, f); err != nil {
				return err
			}
			asked = true
			removed()
		}
	}
}

// handshake agrees on the version (6.3.1).
func handshake(c net.Conn) error {
	if err := send(c, typeHello, nil); err != nil {
		return err
	}
	m, err := receive(c, answerTimeout)
	switch {
	case err != nil:
		return err
	case m.kind == typeError:
		return decodeError(m.body)
	case m.kind != typeHello:
		return fmt.Errorf("the switch begins with a message of type %d, not with a hello", m.kind)
	case m.version < version:
		return fmt.Errorf("the switch speaks version %#x of OpenFlow at most, at least %#x (1.3) is needed", m.version, version)
	}
	return nil
}

// put adds the flow and asks to be told when that is done.
func put(c net.Conn, f Flow) error {
	if err := send(c, typeFlowMod, f.flowMod()); err != nil {
		return err
	}
	return send(c, typeBarrierRequest, nil)
}

func send(c net.Conn, kind byte, body []byte) error {
	return write(c, message{version: version, kind: kind, body: body})
}

func write(c net.Conn, m message) error {
	if err := c.SetWriteDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	_, err := c.Write(m.encode())
	return err
}

// receive reads one message; os.ErrDeadlineExceeded says that none has begun.
func receive(c net.Conn, wait time.Duration) (message, error) {
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return message{}, err
	}
	m, err := read(c)
	if err != nil {
		return message{}, fmt.Errorf("waiting for the switch: %w", err)
	}
	return m, nil
}

func read(r io.Reader) (message, error) {
	var head [headerSize]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		return message{}, whole(n, err)
	}
	size := int(binary.BigEndian.Uint16(head[2:]))
	if size < headerSize {
		return message{}, fmt.Errorf("a message of %d bytes, at least %d are needed", size, headerSize)
	}
	m := message{version: head[0], kind: head[1], id: binary.BigEndian.Uint32(head[4:]), body: make([]byte, size-headerSize)}
	if _, err := io.ReadFull(r, m.body); err != nil {
		return message{}, whole(headerSize, err)
	}
	return m, nil
}

// whole keeps a message that stops in its middle from looking like one that has
// not begun.
func whole(n int, err error) error {
	if n > 0 {
		return fmt.Errorf("a message ends after %d bytes: %v", n, err)
	}
	return err
}
