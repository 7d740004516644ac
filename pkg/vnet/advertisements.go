// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"fmt"

	"github.com/vishvananda/netns"
)

// ignoreAdvertisements makes the kernel of a namespace take no address and no
// route from router advertisements on an interface: we configure both, and not every
// bridge drops those of a neighbour.
func ignoreAdvertisements(ns, home netns.NsHandle, name string) error {
	err := inNetns(ns, home, func() error { return setIPv6(name, "accept_ra", "0") })
	if err != nil {
		return fmt.Errorf("turning router advertisements off: %w", err)
	}
	return nil
}
