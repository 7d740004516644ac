// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// keepHostOff turns the host's own IPv6 off at a device of its namespace whose
// frames are for ovs-vswitchd alone, before it has a carrier, and then sets it as
// told. On the userspace datapath the host's stack sees those frames too: an address
// there would be a way from a container to the host, and what the stack sends by
// itself (reports of multicast groups) would reach the container. Each device would
// also bring a multicast route, and ovs-vswitchd reads all routes anew, with the
// device of each, whenever a link changes.
func (c *conn) keepHostOff(index int, name string, s linkSet) error {
	if err := setIPv6(name, "disable_ipv6", "1"); err != nil {
		return fmt.Errorf("turning IPv6 off at %s: %w", name, err)
	}
	s.noLinkLocal = true
	return c.setLink(index, s)
}

// setIPv6 writes a setting of a device in the namespace of the thread. A kernel
// without IPv6, or settings that cannot be written, leave it as it is.
func setIPv6(name, key, value string) error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/"+key, []byte(value), 0o644)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.EROFS) {
		return nil
	}
	return err
}
