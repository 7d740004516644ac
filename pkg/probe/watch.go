// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// settle is how long changes are collected before they are told: they come in
// crowds, and a link that is up has its routes a moment later.
const settle = 250 * time.Millisecond

// Watch calls fn after links, addresses or routes of this host have changed, until
// ctx is done. Links of a group, which come and go with containers, do not count.
func Watch(ctx context.Context, ownGroup uint32, fn func()) error {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return fmt.Errorf("following routes: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	for _, g := range []uint32{
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	} {
		if err := c.JoinGroup(g); err != nil && ctx.Err() == nil {
			return fmt.Errorf("following routes: joining group %d: %w", g, err)
		}
	}
	changed := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() {
		for {
			msgs, err := c.Receive()
			if err != nil && !errors.Is(err, unix.ENOBUFS) { // events that were lost are a change too
				done <- err
				return
			}
			if err == nil && !matter(msgs, ownGroup) {
				continue
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	timer := time.NewTimer(0)
	<-timer.C
	defer timer.Stop()
	waits := false
	for {
		select {
		case err := <-done:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("following routes: %w", err)
		case <-changed:
			if !waits {
				timer.Reset(settle)
				waits = true
			}
		case <-timer.C:
			waits = false
			fn()
		}
	}
}

// matter leaves out links of a group and what was never a way out.
func matter(msgs []netlink.Message, ownGroup uint32) bool {
	for _, m := range msgs {
		switch m.Header.Type {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			if !inGroup(m.Data, ownGroup) {
				return true
			}
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			if len(m.Data) > 3 && m.Data[3] != unix.RT_SCOPE_LINK {
				return true
			}
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			if len(m.Data) >= unix.SizeofRtMsg && m.Data[7] == unix.RTN_UNICAST {
				return true
			}
		}
	}
	return false
}

func inGroup(link []byte, group uint32) bool {
	if len(link) < unix.SizeofIfInfomsg {
		return false
	}
	ad, err := netlink.NewAttributeDecoder(link[unix.SizeofIfInfomsg:])
	if err != nil {
		return false
	}
	ad.ByteOrder = binary.NativeEndian
	for ad.Next() {
		if ad.Type() == unix.IFLA_GROUP {
			return ad.Uint32() == group
		}
	}
	return false
}
