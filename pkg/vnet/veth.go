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

// updateVeth makes a Veth port. The pair is made with its inner end in the target
// namespace, so that end is never seen elsewhere. The OVS rows of a new pair are
// committed before it is made or as soon as its outer end is there (see rowsFirst),
// while the rest is made: ovs-vswitchd and OVN take longer.
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
		w.txOff = !m.keepOffload()
		rows := &plugging{m: m, s: s, w: w}
		at := place{host, inner, ns}
		p, made, err := m.ensurePair(ctx, at, outer, rows)
		if err == nil {
			m.mu.Lock()
			m.settle(w.Owner.UID, e, innerEnd{id, p.outer.Attrs().NetNsID, p.inner})
			m.mu.Unlock()
			if made {
				err = m.openNew(at, p.inner, w)
			} else if err = m.syncOffload(s, ns, w); err == nil {
				rows.start(ctx, p.outer.Attrs().Index)
				err = inner.configure(p.inner, w.Port, e)
			}
		}
		return errors.Join(err, rows.wait())
	})
}

// plugging commits the rows of a port while its pair is worked on.
type plugging struct {
	m       *Manager
	s       *session
	w       *plugged
	running chan error // nil while nothing does
}

// start begins to commit the rows for the device of that index.
func (p *plugging) start(ctx context.Context, index int) {
	p.w.ifindex = index
	p.running = make(chan error, 1)
	go func(w plugged, done chan<- error) {
		_, err := p.m.plug(ctx, p.s, w)
		done <- err
	}(*p.w, p.running)
}

// wait returns what came of it.
func (p *plugging) wait() error {
	if p.running == nil {
		return nil
	}
	err := <-p.running
	p.running = nil
	return err
}

// openNew configures the inner end of a new pair. Nothing passes before it is up.
func (m *Manager) openNew(at place, index int, w *plugged) error {
	if err := ignoreAdvertisements(at.ns, m.host, w.InnerName); err != nil {
		return err
	}
	if w.txOff {
		if err := syncTxOffload(at.ns, m.host, w.InnerName, false); err != nil {
			return err
		}
	}
	m.making.Lock()
	defer m.making.Unlock()
	if err := at.inner.setLink(index, linkSet{up: true}); err != nil {
		return err
	}
	return at.inner.configureNew(index, w.Port)
}

// pair is a veth: the outer end, and the index of the inner one.
type pair struct {
	outer netlink.Link
	inner int
}

// place is where a pair goes: the host and the target namespace.
type place struct {
	host, inner *conn
	ns          netns.NsHandle
}

// ensurePair makes the pair, or makes an existing one, of which outer is one end,
// right. A pair whose inner end is not where it belongs (moved or renamed by hand,
// or left in a namespace that was replaced) is made anew.
// A new one has its inner end down, and rows were started.
func (m *Manager) ensurePair(ctx context.Context, at place, outer netlink.Link, rows *plugging) (_ pair, isNew bool, err error) {
	p := rows.w.Port
	if outer != nil {
		in, err := at.inner.link(p.InnerName)
		if err != nil {
			return pair{}, false, err
		}
		if in != nil && areEnds(outer, in) {
			if halfMade(outer) { // whoever made it may have died before this; the mark is put on below
				if err := at.host.keepHostOff(outer.Attrs().Index, p.Name, linkSet{}); err != nil {
					return pair{}, false, err
				}
			}
			if err := at.host.fixLink(outer, linkSet{up: true, alias: linkAlias(p.Owner), mtu: p.MTU, group: LinkGroup, noARP: true}); err != nil {
				return pair{}, false, err
			}
			err := at.inner.fixLink(in, linkSet{up: true, mac: p.MAC, mtu: p.MTU, alias: in.Attrs().Alias})
			return pair{outer, in.Attrs().Index}, false, err
		}
		if in != nil {
			return pair{}, false, innerTaken(p, in)
		}
		if err := at.host.delLink(outer.Attrs().Index); err != nil {
			return pair{}, false, err
		}
	}
	if err := m.vacate(ctx, rows.s, p.Name); err != nil {
		return pair{}, false, err
	}
	made, err := m.newPair(ctx, at, rows)
	return made, err == nil, err
}

// newPair makes a pair that is not there, with the inner end down, and has its rows
// started.
func (m *Manager) newPair(ctx context.Context, at place, rows *plugging) (pair, error) {
	if !m.rowsFirst() {
		return m.makePair(ctx, at, 0, rows)
	}
	p := rows.w.Port
	in, err := at.inner.link(p.InnerName)
	if err != nil {
		return pair{}, err
	}
	if in != nil { // before anything is in the bridge for it
		return pair{}, innerTaken(p, in)
	}
	index := m.links.reserve()
	rows.start(ctx, index)
	if err := rows.wait(); err != nil {
		return pair{}, err
	}
	rows.w.early = true
	made, err := m.makePair(ctx, at, index, rows)
	if err != nil {
		return pair{}, errors.Join(err, rows.wait(), m.unplug(ctx, rows.s, p.Name))
	}
	return made, nil
}

// manyPorts is from where ovs-vswitchd mostly takes longer to come to a new row's device
// than it takes to make that: 1 ms with 100 ports, where one device of twelve comes too
// late, and 8 with 1,000.
const manyPorts = 64

// rowsFirst says that the rows of a new port are to be there before its device. Each
// change of a row and each of a link has ovs-vswitchd look at all its ports. A device
// that comes just after its rows is found in the same round; one that comes before them
// costs a round of its own, 4 ms with 100 ports and 90 with 1,000. One that comes too
// late costs no more than that, but ovs-vswitchd warns of it: it would mostly be so where
// there are few ports, or several are made at once, whose rows share the rounds anyway.
func (m *Manager) rowsFirst() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.busy == 1 && len(m.entries) >= m.rowsFirstFrom
}

// makePair makes the pair, with that index if it is not 0 and not taken. The rows are
// started as soon as the outer end is there, if they are not there for it.
func (m *Manager) makePair(ctx context.Context, at place, index int, rows *plugging) (pair, error) {
	p := rows.w.Port
	m.making.Lock()
	defer m.making.Unlock()
	outer, err := at.host.addVeth(p.Name, p.InnerName, p.MAC, p.MTU, at.ns, index)
	if index != 0 && errors.Is(err, unix.EEXIST) { // the index or a name
		outer, err = at.host.addVeth(p.Name, p.InnerName, p.MAC, p.MTU, at.ns, 0)
	}
	if errors.Is(err, unix.EEXIST) {
		in, linkErr := at.inner.link(p.InnerName)
		if linkErr == nil && in != nil {
			return pair{}, innerTaken(p, in)
		}
	}
	if err != nil {
		return pair{}, fmt.Errorf("making veth %s with %s in %s: %w", p.Name, p.InnerName, p.Netns, err)
	}
	if outer.Attrs().Index != index {
		rows.start(ctx, outer.Attrs().Index)
	}
	if err := at.host.keepHostOff(outer.Attrs().Index, p.Name, linkSet{alias: linkAlias(p.Owner)}); err != nil {
		return pair{}, err
	}
	return pair{outer, outer.Attrs().ParentIndex}, nil
}

// innerTaken says that another link has the name of the port's inner end.
func innerTaken(p Port, holder netlink.Link) error {
	return &ConflictError{Name: p.InnerName, Netns: p.Netns, Holder: linkHolder(holder)}
}

// areEnds says whether two links are the ends of one pair: each names the other
// as its peer.
func areEnds(outer, inner netlink.Link) bool {
	return inner.Type() == "veth" && outer.Attrs().ParentIndex == inner.Attrs().Index &&
		inner.Attrs().ParentIndex == outer.Attrs().Index
}

// syncOffload switches the transmit offload of an inner end that was there as the
// datapath needs it. Where offloads stay on, only an end that was switched off before
// is looked at: that is written in its row.
func (m *Manager) syncOffload(s *session, ns netns.NsHandle, w *plugged) error {
	if !w.txOff {
		r, err := s.find(w.Name)
		if err != nil || r.ifaceIDs()[keyTxOffload] == "" {
			return err
		}
	}
	return syncTxOffload(ns, m.host, w.InnerName, !w.txOff)
}
