// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// A handover is a veth pair for a container engine that wants to move an
// interface of the host into a container and to configure it there by itself. The
// outer end is what an attachment of type External plugs in; the inner end waits
// for the engine, down and without an address. Whoever makes a handover is not
// the process that has the Manager, so these functions need none: the mark on the
// outer end tells both that the pair is somebody's.

// Handover is such a pair.
type Handover struct {
	// Outer and Inner are the names of the ends on the host. An engine gives the
	// inner end another name, and another namespace.
	Outer, Inner string
	// Key is the maker's name for the pair. It tells its pairs from those of others,
	// and survives on the outer end.
	Key string
	// MAC of the inner end.
	MAC net.HardwareAddr
	// MTU of both ends; 0 leaves the kernel's default.
	MTU int
	// Bridge that the outer end will be plugged into: it shows how ovs-vswitchd
	// runs. br-int if empty.
	Bridge string
}

// handoverKind is the kind in the mark of a pair. It is that of no object, so
// Prune leaves it to whoever made it.
const handoverKind = "Handover"

// handoverTimeout bounds one exchange with the kernel.
const handoverTimeout = 10 * time.Second

// Validate reports what is wrong with the pair as it is written.
func (h Handover) Validate() error {
	if err := errors.Join(checkName("Outer", h.Outer), checkName("Inner", h.Inner)); err != nil {
		return err
	}
	switch {
	case h.Key == "" || len(h.alias()) > maxAliasLen:
		return fmt.Errorf("handover %s: key %q: must be 1 to %d bytes", h.Outer, h.Key, maxAliasLen-len(Handover{}.alias()))
	case len(h.MAC) != 6 || h.MAC[0]&1 != 0:
		return fmt.Errorf("handover %s: MAC %q: want a unicast address of 6 bytes", h.Outer, h.MAC)
	case h.MTU < 0 || h.MTU > 65535:
		return fmt.Errorf("handover %s: MTU %d: want 0 to 65535", h.Outer, h.MTU)
	}
	return nil
}

func (h Handover) alias() string { return linkAlias(Owner{Kind: handoverKind, UID: h.Key}) }

// EnsureHandover makes the pair in the caller's network namespace, unless it is
// there: then its inner end may be anywhere. An interface of somebody else by one
// of the names is a ConflictError.
func EnsureHandover(h Handover) error {
	if err := h.Validate(); err != nil {
		return err
	}
	return onThisHost(func(host netns.NsHandle, c *conn) error {
		outer, err := c.link(h.Outer)
		if err != nil {
			return err
		}
		switch {
		case outer == nil:
		case outer.Attrs().Alias == h.alias():
			return nil
		case halfMade(outer): // whoever made it died over it
			if err := c.delLink(outer.Attrs().Index); err != nil {
				return err
			}
		default:
			return &ConflictError{Name: h.Outer, Holder: linkHolder(outer)}
		}
		if inner, err := c.link(h.Inner); err != nil {
			return err
		} else if inner != nil {
			return &ConflictError{Name: h.Inner, Holder: linkHolder(inner)}
		}
		return makeHandover(host, c, h)
	})
}

func makeHandover(host netns.NsHandle, c *conn, h Handover) error {
	outer, err := c.addVeth(h.Outer, h.Inner, h.MAC, h.MTU, host, 0)
	if err != nil {
		return fmt.Errorf("making veth %s with %s: %w", h.Outer, h.Inner, err)
	}
	bridge := h.Bridge
	if bridge == "" {
		bridge = "br-int"
	}
	// Where there is no bridge yet nothing is known of its datapath. A bridge of the
	// kernel's datapath says what one with TSO does.
	tso, known, err := vswitchdTSO(host, bridge)
	if err == nil && known && !tso {
		err = syncTxOffload(host, host, h.Inner, false)
	}
	if err == nil {
		// Last, for what carries the mark is complete.
		err = c.keepHostOff(outer.Attrs().Index, h.Outer, linkSet{alias: h.alias()})
	}
	if err != nil {
		return errors.Join(err, c.delLink(outer.Attrs().Index))
	}
	return nil
}

// RemoveHandover removes the pair, wherever its inner end is; one that is not
// there is success. A link that does not carry the key is left alone.
func RemoveHandover(outer, key string) error {
	return onThisHost(func(_ netns.NsHandle, c *conn) error {
		l, err := c.link(outer)
		if err != nil || l == nil || l.Attrs().Alias != (Handover{Key: key}).alias() {
			return err
		}
		return c.delLink(l.Attrs().Index)
	})
}

// Handovers returns the pairs that there are, by their outer ends: only Outer and
// Key are set.
func Handovers() (out []Handover, err error) {
	err = onThisHost(func(_ netns.NsHandle, c *conn) error {
		links, err := c.links()
		if err != nil {
			return err
		}
		for _, l := range links {
			if key, ok := handoverKey(l); ok {
				out = append(out, Handover{Outer: l.Attrs().Name, Key: key})
			}
		}
		return nil
	})
	return out, err
}

func handoverKey(l netlink.Link) (string, bool) {
	return strings.CutPrefix(l.Attrs().Alias, Handover{}.alias())
}

// onThisHost runs fn with a netlink socket of the caller's network namespace.
func onThisHost(fn func(host netns.NsHandle, c *conn) error) error {
	host, err := netns.Get()
	if err != nil {
		return fmt.Errorf("the host's network namespace: %w", err)
	}
	defer func() { _ = host.Close() }()
	c, err := dial(host, host, handoverTimeout)
	if err != nil {
		return err
	}
	defer c.close()
	return fn(host, c)
}
