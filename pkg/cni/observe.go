// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// observe reads an interface in a network namespace.
func observe(path, ifname string) (link, error) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return link{}, fmt.Errorf("CNI_NETNS: %s: %w", path, err)
	}
	defer func() { _ = ns.Close() }()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return link{}, fmt.Errorf("CNI_NETNS: %s: %w", path, err)
	}
	defer h.Close()
	l, err := h.LinkByName(ifname)
	if err != nil {
		return link{}, fmt.Errorf("interface %s in %s: %w", ifname, path, err)
	}
	out := link{up: l.Attrs().Flags&net.FlagUp != 0, mac: l.Attrs().HardwareAddr.String()}
	addresses, err := h.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return link{}, fmt.Errorf("addresses of %s in %s: %w", ifname, path, err)
	}
	for _, a := range addresses {
		out.addresses = append(out.addresses, a.IPNet.String())
	}
	return out, nil
}
