// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestDatagrams: a message comes whole, with its sender, and the answer goes to
// that sender and no other, though another has asked since.
func TestDatagrams(t *testing.T) {
	for _, family := range []string{"127.0.0.1", "::1"} {
		t.Run(family, func(t *testing.T) {
			server, d := listenDatagrams(t, family)
			slow, fast := dialDatagrams(t, server), dialDatagrams(t, server)
			in := make([]byte, 4096)

			send(t, slow, "slow")
			expectMessage(t, d, in, "slow", slow)
			later := d.later()

			send(t, fast, "fast")
			expectMessage(t, d, in, "fast", fast)
			if err := d.answer([]byte("at once")); err != nil {
				t.Fatal(err)
			}
			if err := later.answer([]byte("in the end")); err != nil {
				t.Fatal(err)
			}
			expectAnswer(t, fast, "at once")
			expectAnswer(t, slow, "in the end")

			// More without a wait than it takes to tell the scheduler.
			const many = 3 * maxBusy
			for range many {
				send(t, fast, "again")
			}
			for range many {
				expectMessage(t, d, in, "again", fast)
			}
			// The next is waited for.
			time.AfterFunc(10*time.Millisecond, func() { _, _ = slow.Write([]byte("late")) })
			expectMessage(t, d, in, "late", slow)
		})
	}
}

// TestDatagramsClosed: who waits for a message is told that there will be none.
func TestDatagramsClosed(t *testing.T) {
	server, d := listenDatagrams(t, "127.0.0.1")
	time.AfterFunc(10*time.Millisecond, func() { _ = server.Close() })
	if _, err := d.read(make([]byte, 512)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading: %v, want %v", err, net.ErrClosed)
	}
	if err := d.answer([]byte("anybody")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("answering: %v, want %v", err, net.ErrClosed)
	}
}

// TestDatagramsAllocate: nothing is allocated for a message.
func TestDatagramsAllocate(t *testing.T) {
	server, d := listenDatagrams(t, "127.0.0.1")
	client := dialDatagrams(t, server)
	in, out, question := make([]byte, 4096), make([]byte, 4096), []byte("question")
	n := testing.AllocsPerRun(100, func() {
		if _, err := client.Write(question); err != nil {
			t.Fatal(err)
		}
		msg, err := d.read(in)
		if err != nil {
			t.Fatal(err)
		}
		if !d.peer.addr().IsValid() {
			t.Fatal("a message of nobody")
		}
		if err := d.answer(msg); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Read(out); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a message, want none", n)
	}
}

func listenDatagrams(t *testing.T, at string) (*net.UDPConn, *datagrams) {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(at), 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return c, newDatagrams(raw)
}

func dialDatagrams(t *testing.T, to *net.UDPConn) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, to.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(testPatience))
	return c
}

func send(t *testing.T, from *net.UDPConn, message string) {
	t.Helper()
	if _, err := from.Write([]byte(message)); err != nil {
		t.Fatal(err)
	}
}

func expectMessage(t *testing.T, d *datagrams, in []byte, want string, from *net.UDPConn) {
	t.Helper()
	got, err := d.read(in)
	if err != nil {
		t.Fatal(err)
	}
	sender := from.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
	if !bytes.Equal(got, []byte(want)) || d.peer.addr() != sender {
		t.Fatalf("%q of %v came, want %q of %v", got, d.peer.addr(), want, sender)
	}
}

func expectAnswer(t *testing.T, c *net.UDPConn, want string) {
	t.Helper()
	in := make([]byte, 512)
	n, err := c.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(in[:n]); got != want {
		t.Errorf("%v got %q, want %q", c.LocalAddr(), got, want)
	}
}
