// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// updateVeth makes a Veth port. The pair is made from inside the target
// namespace, so the inner end is never seen elsewhere. The OVS rows are committed
// while addresses and routes are made.
func (m *Manager) updateVeth(ctx context.Context, s *session, e *entry, w *plugged) error {
	ns, id, err := openNetns(w.Netns)
	m.netns.learn(w.Netns, id)
	if err != nil {
		return err
	}
	defer func() { _ = ns.Close() }()
	inner, err := dial(ns, m.host, m.o.Timeout)
	if err != nil {
		return &NetnsError{Path: w.Netns, Err: err}
	}
	defer inner.close()
	return m.withHost(func(host *conn) error {
		outer, err := m.hostLink(host, w.Port)
		if err != nil {
			return err
		}
		w.marked = outer != nil
		if err := m.checkRows(s, *w); err != nil {
			return err
		}
		p, made, err := m.ensurePair(host, inner, outer, w.Port)
		if err != nil {
			return err
		}
		w.ifindex = p.outer.Attrs().Index
		if err := m.syncOffload(s, ns, w, made); err != nil {
			return err
		}
		rows := make(chan error, 1)
		go func() { rows <- m.plug(ctx, s, *w) }()
		if made {
			err = inner.configureNew(p.inner, w.Port)
		} else {
			err = inner.configure(p.inner, w.Port, e)
		}
		return errors.Join(err, <-rows)
	})
}

// pair is a veth: the outer end, and the index of the inner one.
type pair struct {
	outer netlink.Link
	inner int
}

// ensurePair makes the pair, or makes an existing one, of which outer is one end,
// right. A pair whose inner
// end is not where it belongs (moved or renamed by hand, or left in a namespace
// that was replaced) is made anew.
func (m *Manager) ensurePair(host, inner *conn, outer netlink.Link, p Port) (_ pair, made bool, err error) {
	outerWant := linkSet{up: true, alias: linkAlias(p.Owner), mtu: p.MTU, group: linkGroup}
	if outer != nil {
		in, err := inner.link(p.InnerName)
		if err != nil {
			return pair{}, false, err
		}
		if in != nil && areEnds(outer, in) {
			if err := host.fixLink(outer, outerWant); err != nil {
				return pair{}, false, err
			}
			err := inner.fixLink(in, linkSet{up: true, mac: p.MAC, mtu: p.MTU, alias: in.Attrs().Alias})
			return pair{outer, in.Attrs().Index}, false, err
		}
		if in != nil {
			return pair{}, false, &ConflictError{Name: p.InnerName, Netns: p.Netns, Holder: linkHolder(in)}
		}
		if err := host.delLink(outer.Attrs().Index); err != nil {
			return pair{}, false, err
		}
	}
	err = inner.addVeth(p.InnerName, p.Name, p.MAC, p.MTU, m.host)
	if errors.Is(err, unix.EEXIST) {
		in, linkErr := inner.link(p.InnerName)
		if linkErr == nil && in != nil {
			return pair{}, false, &ConflictError{Name: p.InnerName, Netns: p.Netns, Holder: linkHolder(in)}
		}
	}
	if err != nil {
		return pair{}, false, fmt.Errorf("making veth %s with %s in %s: %w", p.Name, p.InnerName, p.Netns, err)
	}
	if outer, err = host.link(p.Name); err != nil {
		return pair{}, false, err
	}
	if outer == nil {
		return pair{}, false, fmt.Errorf("veth %s went away while it was made", p.Name)
	}
	if err := host.setLink(outer.Attrs().Index, linkSet{up: true, alias: outerWant.alias}); err != nil {
		return pair{}, false, err
	}
	return pair{outer, outer.Attrs().ParentIndex}, true, nil
}

// areEnds says whether two links are the ends of one pair: each names the other
// as its peer.
func areEnds(outer, inner netlink.Link) bool {
	return inner.Type() == "veth" && outer.Attrs().ParentIndex == inner.Attrs().Index &&
		inner.Attrs().ParentIndex == outer.Attrs().Index
}

// syncOffload switches the inner end's transmit offload as the datapath needs it.
// Where offloads stay on, only an end that was switched off before is looked at:
// that is written in its row.
func (m *Manager) syncOffload(s *session, ns netns.NsHandle, w *plugged, made bool) error {
	if m.keepOffload() {
		r, err := s.find(w.Name)
		if err != nil || made || r.ifaceIDs()[keyTxOffload] == "" {
			return err
		}
		return syncTxOffload(ns, m.host, w.InnerName, true)
	}
	w.txOff = true
	return syncTxOffload(ns, m.host, w.InnerName, false)
}
