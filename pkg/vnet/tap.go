// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// addTap makes a persistent tap device in the thread's namespace, with our mark
// on it before it becomes persistent: dying in between leaves nothing.
//
// One queue and no packet information, as a VMM opens it by default: the kernel
// refuses an opener whose multi-queue flag differs. The virtio-net header is an
// affair of the opener, whose TUNSETIFF sets it anew; it is made as the VMM must
// use it. With userspace TSO ovs-vswitchd takes frames with a header, so unsummed
// and large frames of a guest (vnet_hdr=on, no vhost) pass whole. Without, such
// frames would come out unsummed: the VMM must use vnet_hdr=off.
func (m *Manager) addTap(c *conn, name string, s linkSet) error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("opening /dev/net/tun: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("tap %s: %w", name, err)
	}
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_TUN_EXCL)
	if m.keepOffload() {
		flags |= unix.IFF_VNET_HDR
	}
	ifr.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return fmt.Errorf("making tap %s: %w", name, err)
	}
	l, err := c.link(name)
	if err == nil && l == nil {
		err = fmt.Errorf("tap %s: made, but not in the host's network namespace", name)
	}
	if err != nil {
		return err
	}
	// Up comes with a carrier while we hold it open.
	err = c.keepHostOff(l.Attrs().Index, name, linkSet{})
	if err == nil {
		err = c.setLink(l.Attrs().Index, s)
	}
	if err != nil {
		return err
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("making tap %s persistent: %w", name, err)
	}
	return nil
}
