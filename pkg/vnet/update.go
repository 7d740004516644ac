// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Update makes the port exactly as it is wanted, whatever there is: a port that
// is right already costs a few reads and no transaction. It is idempotent; an
// error means that it should be called again, after the Event that the error's
// type promises or after a while. From then on Events tell when to look again.
//
// The State is that at the end: ovs-vswitchd and ovn-controller set OFPort and
// OVNInstalled later, which Events tell.
func (m *Manager) Update(ctx context.Context, p Port) (State, error) {
	if err := p.Validate(); err != nil {
		return State{}, err
	}
	s, done, err := m.use()
	if err != nil {
		return State{}, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, m.o.Timeout)
	defer cancel()
	e := m.begin(p.Owner.UID, &p)
	defer m.end(p.Owner.UID, e)

	w := plugged{Port: p}
	switch p.Type {
	case Veth:
		err = m.updateVeth(ctx, s, e, &w)
	case Tap:
		err = m.updateTap(ctx, s, &w)
	case Internal:
		err = m.updateInternal(ctx, s, e, &w)
	case External:
		err = m.updateExternal(ctx, s, &w)
	}
	var r rows
	if err == nil {
		r, err = s.find(p.Name)
	}
	m.mu.Lock()
	e.ok, e.ifindex, e.txOff, e.early = err == nil, w.ifindex, w.txOff, w.early
	if err == nil {
		e.applied = p.Addresses
		if r.iface != nil {
			e.ifaceUUID = r.iface.UUID
		}
	}
	m.mu.Unlock()
	if err != nil {
		return State{}, fmt.Errorf("port %s: %w", p.Name, err)
	}
	return stateOf(r, true, w.early), nil
}

// withHost runs fn with a netlink socket of the host's namespace.
func (m *Manager) withHost(fn func(*conn) error) error {
	c, err := m.pool.get()
	if err != nil {
		return err
	}
	defer m.pool.put(c)
	return fn(c)
}

// hostLink is the link that the port has on the host, nil if there is none. One
// of somebody else is a ConflictError, one of this owner under another name (it
// was renamed) is removed.
func (m *Manager) hostLink(c *conn, p Port) (netlink.Link, error) {
	l, err := c.link(p.Name)
	if err != nil {
		return nil, err
	}
	if l != nil && !ownLink(l, p.Owner) {
		return nil, &ConflictError{Name: p.Name, Holder: linkHolder(l)}
	}
	keep := 0
	if l != nil {
		keep = l.Attrs().Index
	}
	for index := range m.links.owned(p.Owner.UID) {
		if index == keep {
			continue
		}
		if err := m.delOwnLink(c, index, p.Owner.UID); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// ownLink says whether the link carries the owner's mark, or is a pair whose
// maker died before it could be put on.
func ownLink(l netlink.Link, o Owner) bool {
	return l.Attrs().Alias == linkAlias(o) || halfMade(l)
}

// halfMade says that a link carries our group and nobody's mark yet.
func halfMade(l netlink.Link) bool {
	return l.Attrs().Alias == "" && l.Attrs().Group == LinkGroup && l.Type() == "veth"
}

func linkHolder(l netlink.Link) string {
	if o, ours := parseLinkAlias(l.Attrs().Alias); ours {
		return fmt.Sprintf("the link of %s %s", o.Kind, o.UID)
	}
	return fmt.Sprintf("a %s link without our owner mark", l.Type())
}

// delOwnLink removes the link of that index if it (still) is the owner's.
func (m *Manager) delOwnLink(c *conn, index int, uid string) error {
	l, err := c.linkAt(index)
	if err != nil || l == nil {
		return err
	}
	if o, ours := parseLinkAlias(l.Attrs().Alias); !ours || o.UID != uid {
		return nil
	}
	return c.delLink(index)
}

// drift is what must be set at a link to make it as the port wants it.
func drift(l netlink.Link, want linkSet) linkSet {
	a := l.Attrs()
	var s linkSet
	if want.up && a.RawFlags&unix.IFF_UP == 0 {
		s.up = true
	}
	if want.noARP && a.RawFlags&unix.IFF_NOARP == 0 {
		s.noARP = true
	}
	if want.alias != a.Alias {
		s.alias = want.alias
	}
	if len(want.mac) != 0 && want.mac.String() != a.HardwareAddr.String() {
		s.mac = want.mac
	}
	if want.mtu != 0 && want.mtu != a.MTU {
		s.mtu = want.mtu
	}
	if want.group != 0 && want.group != a.Group {
		s.group = want.group
	}
	return s
}

// fixLink makes an existing link as it is wanted.
func (c *conn) fixLink(l netlink.Link, want linkSet) error {
	if d := drift(l, want); !d.empty() {
		return c.setLink(l.Attrs().Index, d)
	}
	return nil
}

// configure makes addresses, routes and rules of a link.
func (c *conn) configure(index int, p Port, e *entry) error {
	before := e.applied // only operations on this entry write it
	if _, err := c.syncAddrs(index, p.Addresses, before); err != nil {
		return err
	}
	return c.syncPaths(index, p, false)
}

// configureNew is configure for a link that has no addresses yet: no need to look.
func (c *conn) configureNew(index int, p Port) error {
	_, addrs := planAddrs(nil, p.Addresses, nil)
	for _, a := range addrs {
		if err := c.addAddr(index, ourAddr(a)); err != nil {
			return err
		}
	}
	return c.syncPaths(index, p, true)
}

// syncPaths makes routes and rules of a link. Rules are needed where the
// namespace has another link with a route of ours; whoever comes or goes is told
// to the others by innerWatch.
func (c *conn) syncPaths(index int, p Port, isNew bool) error {
	have, err := c.routes()
	if err != nil {
		return err
	}
	if p.Type != Veth {
		return c.syncRoutes(index, have[index], p.Routes)
	}
	shared := false
	for other, routes := range have {
		shared = shared || other != index && slices.ContainsFunc(routes, func(r route) bool { return r.ours })
	}
	if !shared {
		if !isNew {
			if err := c.syncRules(index, nil); err != nil {
				return err
			}
		}
		return c.syncRoutes(index, have[index], p.Routes)
	}
	rules, table := sourceRouting(index, p.Addresses, p.Routes)
	if err := c.syncRoutes(index, have[index], slices.Concat(p.Routes, table)); err != nil {
		return err
	}
	return c.syncRules(index, rules)
}

// updateTap makes a Tap port.
func (m *Manager) updateTap(ctx context.Context, s *session, w *plugged) error {
	err := m.withHost(func(c *conn) error {
		l, err := m.hostLink(c, w.Port)
		if err != nil {
			return err
		}
		w.marked = l != nil
		if err := m.checkRows(s, *w); err != nil {
			return err
		}
		// The MAC is the guest's: the device keeps its own.
		want := linkSet{up: true, alias: linkAlias(w.Owner), mtu: w.MTU, group: LinkGroup, noARP: true}
		if l != nil && l.Type() != "tuntap" {
			if err := c.delLink(l.Attrs().Index); err != nil {
				return err
			}
			l = nil
		}
		if l == nil {
			if err := m.vacate(ctx, s, w.Name); err != nil {
				return err
			}
			if err := m.addTap(c, w.Name, want); err != nil {
				return err
			}
			if l, err = c.link(w.Name); err != nil {
				return err
			}
			if l == nil {
				return fmt.Errorf("tap %s went away while it was made", w.Name)
			}
		} else if err := c.fixLink(l, want); err != nil {
			return err
		}
		w.ifindex = l.Attrs().Index
		return nil
	})
	if err != nil {
		return err
	}
	_, err = m.plug(ctx, s, *w)
	return err
}

// updateExternal plugs an interface in that somebody else made.
func (m *Manager) updateExternal(ctx context.Context, s *session, w *plugged) error {
	err := m.withHost(func(c *conn) error {
		l, err := c.link(w.Name)
		if err != nil {
			return err
		}
		if l == nil {
			return &InterfaceMissingError{Name: w.Name}
		}
		w.ifindex = l.Attrs().Index
		return nil
	})
	if err != nil {
		return err
	}
	_, err = m.plug(ctx, s, *w)
	return err
}

// updateInternal makes an Internal port: ovs-vswitchd makes the device, the rest
// is done here.
func (m *Manager) updateInternal(ctx context.Context, s *session, e *entry, w *plugged) error {
	return m.withHost(func(c *conn) error {
		r, err := s.find(w.Name)
		if err != nil {
			return err
		}
		l, err := c.link(w.Name)
		if err != nil {
			return err
		}
		w.marked = l != nil && ownLink(l, w.Owner)
		switch {
		case l != nil && !r.ownedBy(w.Owner.UID) && !w.marked:
			return &ConflictError{Name: w.Name, Holder: linkHolder(l)}
		case w.marked && l.Type() == "veth": // the port was a Veth
			if err := c.delLink(l.Attrs().Index); err != nil {
				return err
			}
		}
		if err := m.checkRows(s, *w); err != nil {
			return err
		}
		if err := m.letGo(ctx, s, c, e, r, w.Name); err != nil {
			return err
		}
		changed, err := m.plug(ctx, s, *w)
		if err != nil {
			return err
		}
		if changed {
			// What is set at a device before ovs-vswitchd is through with it may be
			// undone: it writes flags, MAC and MTU.
			if err := s.barrier(ctx); err != nil {
				return err
			}
		}
		if l, err = c.link(w.Name); err != nil {
			return err
		}
		if l == nil {
			return m.notMade(s, w.Name)
		}
		index := l.Attrs().Index
		if err := c.fixLink(l, linkSet{up: true, alias: linkAlias(w.Owner), mac: w.MAC, mtu: w.MTU}); err != nil {
			return err
		}
		if err := c.configure(index, w.Port, e); err != nil {
			return err
		}
		w.ifindex = index
		return nil
	})
}

// letGo has ovs-vswitchd forget an Internal port whose rows or device somebody
// else has removed, so that it makes the device when the port is put in (again).
func (m *Manager) letGo(ctx context.Context, s *session, c *conn, e *entry, r rows, name string) error {
	if r.port == nil && r.iface == nil {
		if e.ifaceUUID != "" { // they were there: ovs-vswitchd may not have noticed
			m.noteRemoved(name)
		}
		return nil
	}
	l, err := c.link(name)
	if err != nil || l != nil {
		return err
	}
	// Perhaps it has not come to it yet, or has just been started.
	if err := s.barrier(ctx); err != nil {
		return err
	}
	if l, err = c.link(name); err != nil || l != nil {
		return err
	}
	// It does not look for a device that it has made, only for rows that change.
	return m.unplug(ctx, s, name)
}

// notMade says why ovs-vswitchd, which has seen the rows, has made no device.
func (m *Manager) notMade(s *session, name string) error {
	r, err := s.find(name)
	if err != nil {
		return err
	}
	if r.iface != nil && r.iface.Error != nil {
		return fmt.Errorf("ovs-vswitchd made no device: %s", *r.iface.Error)
	}
	return &VswitchdError{Waiting: "device " + name, Err: errors.New("it was not made")}
}
