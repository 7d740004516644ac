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
// lets advertisements of a neighbour pass whatever its ACLs say. A kernel
// without IPv6, or settings that cannot be written, leave it as it is.
func ignoreAdvertisements(ns, home netns.NsHandle, name string) error {
	err := inNetns(ns, home, func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/accept_ra", []byte("0"), 0o644)
	})
	if err == nil || errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.EROFS) {
		return nil
	}
	return fmt.Errorf("turning router advertisements off: %w", err)
}
