// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

const (
	pingEvery = 10 * time.Millisecond
	// replyWindow is how long a reply may take: one that is late is not lost.
	replyWindow = 5 * time.Second
	pingID      = 0x6172
)

// pinger sends an echo request every 10 ms and remembers which were answered.
type pinger struct {
	conn *icmp.PacketConn
	to   net.Addr
	stop chan struct{}
	wg   sync.WaitGroup

	mu       sync.Mutex
	sent     []time.Time
	answered []bool
	replies  int
	slowest  time.Duration
	heard    chan struct{} // closed at the next reply
}

func startPinger(from, to string) (*pinger, error) {
	p := &pinger{to: &net.IPAddr{IP: net.ParseIP(to)}, stop: make(chan struct{}), heard: make(chan struct{})}
	err := inNetns(from, func() (err error) {
		p.conn, err = icmp.ListenPacket("ip4:icmp", "0.0.0.0")
		return err
	})
	if err != nil {
		return nil, err
	}
	p.wg.Go(p.send)
	go p.receive() // until the connection is closed
	return p, nil
}

func (p *pinger) send() {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		p.mu.Lock()
		n := len(p.sent)
		p.sent, p.answered = append(p.sent, time.Now()), append(p.answered, false)
		p.mu.Unlock()
		request := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{
			ID: pingID, Seq: n & 0xffff, Data: binary.BigEndian.AppendUint64(nil, uint64(n)),
		}}
		raw, err := request.Marshal(nil)
		if err == nil {
			// What cannot be sent is lost like what is not answered.
			_, _ = p.conn.WriteTo(raw, p.to)
		}
	}
}

func (p *pinger) receive() {
	buf := make([]byte, 1500)
	for {
		n, _, err := p.conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an interface that went away, for one
		}
		m, err := icmp.ParseMessage(ipv4.ICMPTypeEchoReply.Protocol(), buf[:n])
		if err != nil || m.Type != ipv4.ICMPTypeEchoReply {
			continue
		}
		echo, ok := m.Body.(*icmp.Echo)
		if !ok || echo.ID != pingID || len(echo.Data) != 8 {
			continue
		}
		p.mu.Lock()
		if i := binary.BigEndian.Uint64(echo.Data); i < uint64(len(p.answered)) && !p.answered[i] {
			p.answered[i] = true
			p.slowest = max(p.slowest, time.Since(p.sent[i]))
			p.replies++
			close(p.heard)
			p.heard = make(chan struct{})
		}
		p.mu.Unlock()
	}
}

// answeredSince tells whether a request that was sent after a moment was answered.
func (p *pinger) answeredSince(t time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.sent) - 1; i >= 0 && p.sent[i].After(t); i-- {
		if p.answered[i] {
			return true
		}
	}
	return false
}

// more waits until so many more requests were answered, or for a while.
func (p *pinger) more(n int) bool {
	limit := time.After(patience)
	p.mu.Lock()
	target := p.replies + n
	p.mu.Unlock()
	for {
		p.mu.Lock()
		done, heard := p.replies >= target, p.heard
		p.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-heard:
		case <-limit:
			return false
		}
	}
}

// loss is what a pinger has found.
type loss struct {
	Sent, Lost int
	// Gap is the longest time for which nothing that was sent came back.
	Gap time.Duration
	// Slowest is the longest that an answer took: what stands still for a while may
	// lose nothing.
	Slowest time.Duration
}

// finish stops sending, waits for late replies, and counts.
func (p *pinger) finish() loss {
	close(p.stop)
	p.wg.Wait()
	limit := time.After(replyWindow)
wait:
	for {
		p.mu.Lock()
		all, heard := p.replies == len(p.sent), p.heard
		p.mu.Unlock()
		if all {
			break
		}
		select {
		case <-heard:
		case <-limit:
			break wait
		}
	}
	_ = p.conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	l := count(p.sent, p.answered)
	l.Slowest = p.slowest
	return l
}

// count is the loss of requests that were sent then and answered or not, but for how
// late.
func count(sent []time.Time, answered []bool) loss {
	l := loss{Sent: len(sent)}
	last := -1 // the last one that was answered
	gap := func(to int) {
		if to > last+1 {
			l.Gap = max(l.Gap, sent[to-1].Sub(sent[last+1])+pingEvery)
		}
	}
	for i, ok := range answered {
		if !ok {
			l.Lost++
			continue
		}
		gap(i)
		last = i
	}
	gap(len(sent))
	return l
}
