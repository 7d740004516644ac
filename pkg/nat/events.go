// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Event tells why Apply should be called again.
type Event string

// The events.
const (
	// TableChanged: somebody else changed the table, or may have.
	TableChanged Event = "TableChanged"
	// HostChanged: an address or a switch of the host changed, or the uplink.
	HostChanged Event = "HostChanged"
)

// Run follows the kernel's notifications until ctx is done, and tells the
// subscribers. What may have been missed before is told first.
func (m *Manager) Run(ctx context.Context) error {
	table, err := listen(unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES)
	if err != nil {
		return fmt.Errorf("following nftables: %w", err)
	}
	host, err := listenHost()
	if err != nil {
		_ = table.Close()
		return fmt.Errorf("following addresses: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = table.Close(); _ = host.Close() })
	defer stop()
	m.forget()
	m.tell(TableChanged)
	m.tell(HostChanged)
	done := make(chan error, 2)
	go func() {
		done <- follow(ctx, table, func(msgs []netlink.Message) { m.tableEvent(msgs) })
	}()
	go func() {
		done <- follow(ctx, host, func(msgs []netlink.Message) { m.hostEvent(msgs) })
	}()
	tick := time.NewTicker(m.options.Resync)
	defer tick.Stop()
	var settled <-chan time.Time
	for {
		select {
		case <-m.unsettled:
			if settled == nil {
				settled = time.After(settling)
			}
		case <-settled:
			settled = nil
			m.tell(HostChanged)
		case err := <-done:
			_ = table.Close()
			_ = host.Close()
			return errors.Join(err, <-done)
		case <-tick.C:
			m.forget()
			m.tell(TableChanged)
			m.tell(HostChanged)
		}
	}
}

// listenHost hears of links, addresses and switches of forwarding.
func listenHost() (*netlink.Conn, error) {
	return listen(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
}

func listen(family int, groups ...uint32) (*netlink.Conn, error) {
	c, err := netlink.Dial(family, nil)
	if err != nil {
		return nil, err
	}
	err = c.SetReadBuffer(4 << 20)
	for _, g := range groups {
		err = errors.Join(err, c.JoinGroup(g))
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// follow hands notifications to fn until ctx is done. With nil it tells that
// some were lost.
func follow(ctx context.Context, c *netlink.Conn, fn func([]netlink.Message)) error {
	for {
		msgs, err := c.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			fn(nil)
		case err != nil:
			return fmt.Errorf("receiving notifications: %w", err)
		default:
			fn(msgs)
		}
	}
}

func (m *Manager) tableEvent(msgs []netlink.Message) {
	ours := msgs == nil
	for _, msg := range msgs {
		ours = ours || eventIsOurs(msg)
	}
	if ours && m.outdated() {
		m.tell(TableChanged)
	}
}

// settling is how long what is not urgent waits for more of its kind.
const settling = 250 * time.Millisecond

// later has HostChanged told once all has settled.
func (m *Manager) later() {
	select {
	case m.unsettled <- struct{}{}:
	default:
	}
}

// hostEvent tells of what matters. New devices are told later: there is one with
// every port, and one matters only where the host gives it an address, which is
// told by itself.
func (m *Manager) hostEvent(msgs []netlink.Message) {
	most := nothing
	if msgs == nil {
		most = changed
	}
	for _, msg := range msgs {
		most = max(most, weigh(msg, m.options.Uplink))
	}
	switch most {
	case changed:
		m.tell(HostChanged)
	case device:
		m.later()
	}
}

// weight is how much a notification of the host matters.
type weight int

const (
	nothing weight = iota
	device         // a device is new, or has another name
	changed        // an address or a switch of the host changed, or the uplink
)

// weigh leaves out what comes with every port: links that are not the uplink, and
// link-local addresses.
func weigh(m netlink.Message, uplink string) weight {
	switch m.Header.Type {
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if len(m.Data) > 3 && m.Data[3] != unix.RT_SCOPE_LINK {
			return changed
		}
	case unix.RTM_NEWLINK:
		if len(m.Data) < unix.SizeofIfInfomsg {
			return nothing
		}
		ad, err := netlink.NewAttributeDecoder(m.Data[unix.SizeofIfInfomsg:])
		if err != nil {
			return nothing
		}
		for ad.Next() {
			if ad.Type() == unix.IFLA_IFNAME && ad.String() == uplink {
				return changed
			}
		}
	case unix.RTM_NEWNETCONF:
		return weighSwitches(m.Data)
	}
	return nothing
}

// weighSwitches finds changes of forwarding, of one interface or all. The kernel
// tells of a switch alone when it changes, and of all of a device's when it makes
// them.
func weighSwitches(data []byte) weight {
	const header, ifindex, forwarding = 4, 1, 2 // struct netconfmsg, NETCONFA_*
	if len(data) < header {
		return nothing
	}
	ad, err := netlink.NewAttributeDecoder(data[header:])
	if err != nil {
		return nothing
	}
	found, others := false, false
	for ad.Next() {
		switch ad.Type() {
		case forwarding:
			found = true
		case ifindex:
			if int32(binary.NativeEndian.Uint32(ad.Bytes())) < 0 {
				return changed // the switch for all
			}
		default:
			others = true
		}
	}
	switch {
	case found && others:
		return device
	case found:
		return changed
	}
	return nothing
}
