// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// resultOf is what ADD answers. The first interface is the host's, whose MAC
// address is of no use to anybody, and the second the container's.
func resultOf(c *config, a attachment, network *controlpb.BridgeInfo, r *controlpb.AttachContainerResponse) (*types100.Result, error) {
	out := &types100.Result{
		CNIVersion: types100.ImplementedSpecVersion,
		Interfaces: []*types100.Interface{
			{Name: r.GetPortName()},
			{Name: a.ifname, Mac: r.GetMacAddress(), Mtu: int(r.GetMtu()), Sandbox: a.netns},
		},
		DNS: dnsOf(c, network, r.GetGateways()),
	}
	if len(r.GetGateways()) != len(r.GetAddresses()) {
		return nil, fmt.Errorf("arca-network answered %d addresses and %d gateways", len(r.GetAddresses()), len(r.GetGateways()))
	}
	for i, s := range r.GetAddresses() {
		ip, subnet, err := net.ParseCIDR(s)
		if err != nil {
			return nil, fmt.Errorf("arca-network answered the address %q: %w", s, err)
		}
		gateway := net.ParseIP(r.GetGateways()[i])
		out.IPs = append(out.IPs, &types100.IPConfig{
			Interface: types100.Int(1), Address: net.IPNet{IP: ip, Mask: subnet.Mask}, Gateway: gateway,
		})
		everywhere := net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
		if ip.To4() == nil {
			everywhere = net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
		}
		out.Routes = append(out.Routes, &types.Route{Dst: everywhere, GW: gateway})
	}
	return out, nil
}

// dnsOf is what a container asks: what the runtime says, or else the
// configuration, or else the network's gateways, where the names of its
// containers are known.
func dnsOf(c *config, network *controlpb.BridgeInfo, gateways []string) types.DNS {
	out := types.DNS{
		Nameservers: c.RuntimeConfig.DNS.Servers,
		Domain:      c.DNS.Domain,
		Search:      c.RuntimeConfig.DNS.Searches,
		Options:     c.RuntimeConfig.DNS.Options,
	}
	if len(out.Nameservers) == 0 {
		out.Nameservers = c.DNS.Nameservers
	}
	if len(out.Search) == 0 {
		out.Search = c.DNS.Search
	}
	if len(out.Options) == 0 {
		out.Options = c.DNS.Options
	}
	// Enabled is unset where nobody has said so, and then it is.
	d := network.GetDns()
	if len(out.Nameservers) == 0 && (d == nil || d.Enabled == nil || d.GetEnabled()) {
		out.Nameservers = gateways
		if len(out.Search) == 0 {
			out.Search = append([]string{network.GetName()}, d.GetSearch()...)
		}
	}
	return out
}
