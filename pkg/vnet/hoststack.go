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

// setIPv6 writes a setting of an interface in the thread's namespace. A kernel
// without IPv6, or settings that cannot be written, leave it as it is.
func setIPv6(name, setting, value string) error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/"+setting, []byte(value), 0o644)
	if err == nil || errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.EROFS) {
		return nil
	}
	return fmt.Errorf("setting %s of %s to %s: %w", setting, name, value, err)
}
