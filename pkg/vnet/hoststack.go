// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/vishvananda/netns"
)

// ignoreAdvertisements makes the kernel of a namespace take no address and no
// route from router advertisements on an interface: we configure both, and OVN
// lets advertisements of a neighbour pass whatever its ACLs say.
func ignoreAdvertisements(ns, home netns.NsHandle, name string) error {
	return inNetns(ns, home, func() error { return setIPv6(name, "accept_ra", "0") })
}

// withoutIPv6 keeps the host's own IPv6 off a device whose frames are for
// ovs-vswitchd alone. On the userspace datapath the host's stack sees them too: a
// link-local address there would be a way from a container to the host. It would
// also bring three routes for each port, and ovs-vswitchd reads all routes anew
// whenever one is added. It is called before the device has a carrier, so that
// there never is such an address. IFF_NOARP does the same for ARP.
func withoutIPv6(name string) error { return setIPv6(name, "disable_ipv6", "1") }

// setIPv6 writes a setting of an interface in the thread's namespace. A kernel
// without IPv6, or settings that cannot be written, leave it as it is.
func setIPv6(name, setting, value string) error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/"+setting, []byte(value), 0o644)
	if err == nil || errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.EROFS) {
		return nil
	}
	return fmt.Errorf("setting %s of %s to %s: %w", setting, name, value, err)
}
