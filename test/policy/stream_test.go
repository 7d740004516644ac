// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vas-solutus/arca-network/pkg/policy/policytest"
)

// stream is an open TCP connection whose server sends back what it gets.
type stream struct{ net.Conn }

func openStream(t *testing.T, w *world, from, to policytest.Host, is6 bool) *stream {
	t.Helper()
	address, _ := to.Address(is6)
	var listener net.Listener
	if err := w.spaces[to.Name].do(func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(address, 0).String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	s := &stream{}
	if err := w.spaces[from.Name].do(func() (err error) {
		s.Conn, err = net.DialTimeout("tcp", listener.Addr().String(), 10*time.Second)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.speaks(t)
	return s
}

// speaks sends a byte and waits for it to come back.
func (s *stream) speaks(t *testing.T) {
	t.Helper()
	_ = s.SetDeadline(time.Now().Add(10 * time.Second))
	b := []byte{1}
	if _, err := s.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s, b); err != nil {
		t.Fatalf("the stream does not pass: %v", err)
	}
}

// isCut fails where what is sent still comes back: within three seconds the
// kernel sends it four times.
func (s *stream) isCut(t *testing.T) {
	t.Helper()
	_ = s.SetDeadline(time.Now().Add(3 * time.Second))
	b := []byte{2}
	if _, err := s.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s, b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading ended with %v, want nothing to come back", err)
	}
}

// TestCut: a connection that is open is cut when the rule that allows it goes,
// and goes on when it comes back; others do not notice.
func TestCut(t *testing.T) {
	w := newWorld(t)
	w.network(t, "web", false, "10.1.0.0/24", "fd00:1::/64")
	w.network(t, "db", false, "10.2.0.0/24", "fd00:2::/64")
	web1, web2 := w.endpoint(t, "web-1", "web", nil), w.endpoint(t, "web-2", "web", nil)
	db1 := w.endpoint(t, "db-1", "db", nil)
	for _, c := range []struct {
		name     string
		from, to policytest.Host
		is6      bool
		allow    string
		others   map[string]string
	}{
		{"another network, IPv4", web1, db1, false, `{network: db, ingress: [{action: Allow, peers: [{network: web}]}]}`, nil},
		{"another network, IPv6, opened at the source", web1, db1, true, `{network: web, egress: [{action: Allow, peers: [{network: db}]}]}`, nil},
		{"another network, and other rules stay", web1, db1, false, `{network: db, ingress: [{action: Allow, protocol: tcp, peers: [{network: web}]}]}`,
			map[string]string{"icmp": `{network: db, priority: 5, ingress: [{action: Allow, protocol: icmp, peers: [{network: web}]}]}`}},
		{"the same network, a deny below", web1, web2, false, `{network: web, priority: 1, ingress: [{action: Allow, protocol: tcp, peers: [{network: web}]}]}`,
			map[string]string{"deny": `{network: web, priority: 2, ingress: [{action: Deny}]}`}},
		{"the same network, IPv6, a deny below", web1, web2, true, `{network: web, priority: 1, egress: [{action: Allow, protocol: tcp, peers: [{network: web}]}]}`,
			map[string]string{"deny": `{network: web, priority: 2, egress: [{action: Deny}]}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, spec := range c.others {
				other := w.policy(t, name, spec)
				w.ready(t, other)
				defer w.remove(t, other)
			}
			p := w.policy(t, "allow", c.allow)
			w.ready(t, p)
			w.settled(t)
			s := openStream(t, w, c.from, c.to, c.is6)
			w.remove(t, p)
			w.settled(t)
			s.isCut(t)
			p = w.policy(t, "allow", c.allow)
			defer w.remove(t, p)
			w.ready(t, p)
			w.settled(t)
			_ = s.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.ReadFull(s, []byte{0}); err != nil {
				t.Errorf("the stream does not go on: %v", err)
			}
		})
	}
}
