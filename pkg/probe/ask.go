// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// attempts is how often a target is asked before it counts as silent: one packet
// that is lost is no lost uplink.
const attempts = 3

// Ask asks the targets, all at once, until ctx ends, which must have a deadline.
// It is enough for one of each family to answer; the error names the families
// without, and what became of each of their targets.
func Ask(ctx context.Context, targets []Target) error {
	results := make([]error, len(targets))
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Go(func() { results[i] = t.ask(ctx) })
	}
	wg.Wait()
	var silent []error
	for _, family := range []struct {
		name string
		is   func(netip.Addr) bool
	}{{"IPv4", netip.Addr.Is4}, {"IPv6", netip.Addr.Is6}} {
		var errs []error
		answered := false
		for i, t := range targets {
			if family.is(t.Addr) {
				answered = answered || results[i] == nil
				errs = append(errs, results[i])
			}
		}
		if !answered && len(errs) > 0 {
			silent = append(silent, fmt.Errorf("the world does not answer by %s: %w", family.name, joined(errs)))
		}
	}
	return joined(silent)
}

// joined is errors.Join in one line.
func joined(errs []error) error {
	var out error
	for _, err := range errs {
		switch {
		case out == nil:
			out = err
		case err != nil:
			out = fmt.Errorf("%w; %w", out, err)
		}
	}
	return out
}

// ask asks a target up to three times, each for its share of the time.
func (t Target) ask(ctx context.Context) (err error) {
	until, ok := ctx.Deadline()
	if !ok {
		return fmt.Errorf("%s: no deadline", t)
	}
	for left := attempts; left > 0 && ctx.Err() == nil; left-- {
		once, cancel := context.WithTimeout(ctx, time.Until(until)/time.Duration(left))
		if t.Port != 0 {
			err = t.connect(once)
		} else {
			err = t.echo(once)
		}
		cancel()
		var timeout net.Error
		if err == nil || !errors.As(err, &timeout) || !timeout.Timeout() {
			break // another answer would be the same
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", t, err)
	}
	return ctx.Err()
}

// connect opens a connection. To refuse it is an answer too.
func (t Target) connect(ctx context.Context) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", netip.AddrPortFrom(t.Addr, t.Port).String())
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	if err != nil {
		return err
	}
	_ = c.(*net.TCPConn).SetLinger(0) // it leaves nothing that waits
	return c.Close()
}

// echo sends an ICMP echo request and waits for its reply.
func (t Target) echo(ctx context.Context) error {
	network, request, reply, protocol := "ip4:icmp", icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply), 1
	if t.Addr.Is6() {
		network, request, reply, protocol = "ip6:ipv6-icmp", ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply, 58
	}
	c, err := net.DialIP(network, nil, &net.IPAddr{IP: t.Addr.AsSlice(), Zone: t.Addr.Zone()})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	until, _ := ctx.Deadline()
	if err := c.SetDeadline(until); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
	defer stop()
	// The socket gets the replies to everybody's requests to that host.
	mark := []byte(rand.Text())
	packet, err := (&icmp.Message{Type: request, Body: &icmp.Echo{ID: int(mark[0])<<8 | int(mark[1]), Seq: 1, Data: mark}}).Marshal(nil)
	if err != nil {
		return err
	}
	if _, err := c.Write(packet); err != nil {
		return err
	}
	b := make([]byte, 1500)
	for {
		n, _, err := c.ReadFromIP(b) // Read leaves the header of IPv4 on
		if err != nil {
			return err
		}
		m, err := icmp.ParseMessage(protocol, b[:n])
		if err != nil || m.Type != reply {
			continue
		}
		if e, ok := m.Body.(*icmp.Echo); ok && string(e.Data) == string(mark) {
			return nil
		}
	}
}
