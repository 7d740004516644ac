// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"github.com/ti-mo/conntrack"
	"github.com/vishvananda/netlink"
)

// The kernel remembers what it decided for a connection's first packet. What
// it remembers against the present state is deleted, so that the next packet is
// decided anew: a UDP client that goes on sending would otherwise reach the
// former holder of a port for ever.

// flow is a tracked connection: where its first packet went, and where answers
// come from and go to.
type flow struct {
	protocol Protocol
	from, to netip.AddrPort // as the client sees it
	// answers come from server and go to client.
	server, client netip.AddrPort
}

// translated tells whether the destination is another than the client thinks.
func (f flow) translated() bool { return f.to != f.server }

// judge decides which flows contradict a state.
type judge struct {
	ports    content
	removed  content // of ports, what is no more
	behind   []netip.Prefix
	closed   []netip.Prefix
	inside   []netip.Prefix
	thisHost map[netip.Addr]bool
}

// contradicts tells whether a flow would not be as it is if it began now.
func (j judge) contradicts(f flow) bool {
	if f.to.Addr() == netip.IPv6Loopback() {
		return false
	}
	if target, published := j.lookup(j.ports, f); published {
		return f.server != target
	}
	if target, was := j.lookup(j.removed, f); was {
		return f.server == target
	}
	if f.translated() || j.isHost(f.to.Addr()) || contains(j.inside, f.to.Addr()) {
		return false
	}
	// From an endpoint to the world.
	if contains(j.behind, f.from.Addr()) {
		return f.client == f.from // it goes out without being masqueraded
	}
	return contains(j.closed, f.from.Addr())
}

// lookup finds the published port that a flow was sent to.
func (j judge) lookup(ports content, f flow) (netip.AddrPort, bool) {
	fam := familyOf(f.to.Addr())
	if v, ok := ports[fam.somewhere][portKey(f.protocol, f.to.Addr(), f.to.Port())]; ok {
		return targetOfValue(v), true
	}
	if !j.isHost(f.to.Addr()) {
		return netip.AddrPort{}, false
	}
	v, ok := ports[fam.everywhere][portKey(f.protocol, fam.unspecified, f.to.Port())]
	if !ok {
		return netip.AddrPort{}, false
	}
	return targetOfValue(v), true
}

func (j judge) isHost(a netip.Addr) bool { return j.thisHost[a] || a.IsLoopback() }

func contains(in []netip.Prefix, a netip.Addr) bool {
	for _, p := range in {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// flowsTimeout bounds a walk over all tracked connections.
const flowsTimeout = 30 * time.Second

// deleteFlows deletes the flows that wrong picks, and returns how many.
func deleteFlows(wrong func(flow) bool) (int, error) {
	c, err := conntrack.Dial(nil)
	if err != nil {
		return 0, fmt.Errorf("opening connection tracking: %w", err)
	}
	// Closing is what ends a call that the kernel does not answer.
	deadline := time.AfterFunc(flowsTimeout, func() { _ = c.Close() })
	defer func() {
		if deadline.Stop() {
			_ = c.Close()
		}
	}()
	if err := c.SetReadBuffer(socketBuffer); err != nil {
		return 0, err
	}
	all, err := c.Dump(nil)
	if err != nil {
		return 0, fmt.Errorf("listing tracked connections: %w", err)
	}
	deleted := 0
	for _, x := range all {
		if x.Zone != 0 || !wrong(flowOf(x)) { // another zone is Open vSwitch's
			continue
		}
		err := c.Delete(conntrack.Flow{TupleOrig: x.TupleOrig, TupleReply: x.TupleReply})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return deleted, fmt.Errorf("deleting a tracked connection: %w", err)
		}
		deleted++
	}
	return deleted, nil
}

func flowOf(x conntrack.Flow) flow {
	o, r := x.TupleOrig, x.TupleReply
	return flow{
		protocol: Protocol(o.Proto.Protocol),
		from:     netip.AddrPortFrom(o.IP.SourceAddress.Unmap(), o.Proto.SourcePort),
		to:       netip.AddrPortFrom(o.IP.DestinationAddress.Unmap(), o.Proto.DestinationPort),
		server:   netip.AddrPortFrom(r.IP.SourceAddress.Unmap(), r.Proto.SourcePort),
		client:   netip.AddrPortFrom(r.IP.DestinationAddress.Unmap(), r.Proto.DestinationPort),
	}
}

// hostAddresses are all addresses of this host.
func hostAddresses() (map[netip.Addr]bool, error) {
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	out := make(map[netip.Addr]bool, len(addrs))
	for _, a := range addrs {
		if addr, ok := netip.AddrFromSlice(a.IP); ok {
			out[addr.Unmap()] = true
		}
	}
	return out, nil
}
