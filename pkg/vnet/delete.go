// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	libovsdb "github.com/ovn-kubernetes/libovsdb/ovsdb"
	"golang.org/x/sync/errgroup"
)

// Delete removes everything of that owner: OVS rows and links. It works when the
// namespace is gone already; an owner of which there is nothing is no error. On
// an error it should be called again: until then Prune would find what is left.
func (m *Manager) Delete(ctx context.Context, uid string) error {
	s, done, err := m.use()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, m.o.Timeout)
	defer cancel()
	e := m.begin(uid, nil)
	defer m.end(uid, e)
	_, err = m.remove(ctx, s, e, uid)
	return err
}

// remove does what Delete does and reports whether there was anything.
func (m *Manager) remove(ctx context.Context, s *session, e *entry, uid string) (found bool, err error) {
	names, err := s.ownedNames(uid)
	if err != nil {
		return false, err
	}
	if e.ifaceUUID != "" { // marks wiped by hand: known by its row
		if r, err := s.find(e.port.Name); err == nil && r.iface != nil && r.iface.UUID == e.ifaceUUID {
			names[e.port.Name] = struct{}{}
		}
	}
	var ops []libovsdb.Operation
	internal := map[string]bool{}
	for name := range names {
		r, err := s.find(name)
		if err != nil {
			return false, err
		}
		if r.port == nil {
			continue
		}
		internal[name] = r.iface != nil && r.iface.Type == "internal"
		ops = append(ops, removePort(r.port.UUID))
		m.noteRemoved(name)
	}
	if len(ops) != 0 {
		found = true
		// First the port, then its device: ovs-vswitchd does not run into one
		// that is gone.
		if _, err := s.commit(ctx, ops); err != nil {
			return true, fmt.Errorf("removing the OVS port of %s: %w", uid, err)
		}
	}
	m.forgetRules(e)
	err = m.withHost(func(c *conn) error {
		for name, own := range internal {
			if own {
				m.awaitGone(ctx, c, name)
			}
		}
		gone, err := m.removeLinks(c, e.port.Name, uid)
		found = found || gone
		return err
	})
	if err == nil {
		m.mu.Lock()
		e.ok, e.ifindex, e.applied, e.ifaceUUID = false, 0, nil, ""
		m.settle(uid, e, innerEnd{})
		m.mu.Unlock()
	}
	return found, err
}

// forgetRules removes the rules of a Veth's inner end, which outlive it. In a
// namespace that is gone there are none, and what is left in one that cannot be
// entered the next port there takes away.
func (m *Manager) forgetRules(e *entry) {
	if e.inside.link == 0 {
		return
	}
	ns, id, err := openNetns(e.port.Netns)
	if err != nil {
		return
	}
	defer func() { _ = ns.Close() }()
	if id != e.inside.netns {
		return
	}
	c, err := dial(ns, m.host, m.o.Timeout)
	if err != nil {
		return
	}
	defer c.close()
	if err := c.syncRules(e.inside.link, nil); err != nil {
		m.log.V(1).Info("rules are left in a network namespace", "netns", e.port.Netns, "reason", err.Error())
	}
}

// vswitchdGrace is how long ovs-vswitchd has to remove the device of an internal
// port itself; one that is down does not, and the device stays.
const vswitchdGrace = time.Second

func (m *Manager) awaitGone(ctx context.Context, c *conn, name string) {
	ctx, cancel := context.WithTimeout(ctx, vswitchdGrace)
	defer cancel()
	// That it does not go is what follows this call for.
	_ = m.links.wait(ctx, name, func() (bool, error) {
		l, err := c.link(name)
		return l == nil, err
	})
}

// removeLinks removes the owner's links: those known by their mark, and the one
// of the port's name, which events may not have told of yet.
func (m *Manager) removeLinks(c *conn, name, uid string) (found bool, err error) {
	if name != "" {
		l, err := c.link(name)
		if err != nil {
			return false, err
		}
		if l != nil {
			o, marked := parseLinkAlias(l.Attrs().Alias)
			if (marked && o.UID == uid) || halfMade(l) {
				found = true
				if err := c.delLink(l.Attrs().Index); err != nil {
					return true, err
				}
			}
		}
	}
	for index := range m.links.owned(uid) {
		found = true
		if err := m.delOwnLink(c, index, uid); err != nil {
			return true, err
		}
	}
	return found, nil
}

// pruneParallel is how many owners are removed at once: enough to fill a
// transaction, few enough not to hold up updates.
const pruneParallel = 32

// Prune removes everything that carries our owner mark and whose owner keep
// refuses: ports and links left by objects that went while nobody looked, and
// pairs whose maker died over them. The Name of an owner known by a link only is
// empty. What carries no mark of ours is never touched. It goes on after errors
// and is not retried by itself.
func (m *Manager) Prune(ctx context.Context, keep func(Owner) bool) (removed int, err error) {
	s, done, err := m.use()
	if err != nil {
		return 0, err
	}
	defer done()
	owners, err := s.owners()
	if err != nil {
		return 0, err
	}
	var half []int
	err = m.withHost(func(c *conn) error {
		links, err := c.links()
		if err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, l := range links {
			if o, ours := parseLinkAlias(l.Attrs().Alias); ours {
				if _, known := owners[o.UID]; !known {
					owners[o.UID] = o
				}
			} else if _, wanted := m.byName[l.Attrs().Name]; halfMade(l) && !wanted {
				half = append(half, l.Attrs().Index)
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	var (
		g    errgroup.Group
		mu   sync.Mutex
		errs []error
	)
	count := func(found bool, err error) error {
		mu.Lock()
		defer mu.Unlock()
		if found && err == nil {
			removed++
		}
		if err != nil {
			errs = append(errs, err)
		}
		return nil
	}
	g.SetLimit(pruneParallel)
	for uid, o := range owners {
		if keep(o) {
			continue
		}
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, m.o.Timeout)
			defer cancel()
			e := m.begin(uid, nil)
			defer m.end(uid, e)
			return count(m.remove(ctx, s, e, uid))
		})
	}
	for _, index := range half {
		g.Go(func() error {
			return count(true, m.withHost(func(c *conn) error { return c.delLink(index) }))
		})
	}
	_ = g.Wait() // count keeps the errors
	return removed, errors.Join(errs...)
}
