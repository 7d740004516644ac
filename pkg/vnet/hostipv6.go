// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// refuseHostIPv6 turns the host's own IPv6 off at a device of its namespace whose
// frames are for ovs-vswitchd alone, before it has a carrier. On the userspace
// datapath the host's stack sees them too: an address there would be a way from a
// container to the host, and what the stack sends by itself (reports of multicast
// groups) would reach the container. Each device would also bring a multicast
// route, and ovs-vswitchd reads all routes anew, with the device of each, whenever
// a link changes.
//
// A kernel without IPv6, or settings that cannot be written, leave it as it is.
func refuseHostIPv6(name string) error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0o644)
	if err == nil || errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.EROFS) {
		return nil
	}
	return fmt.Errorf("turning IPv6 off at %s: %w", name, err)
}
