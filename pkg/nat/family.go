// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"net/netip"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// family is what differs between IPv4 and IPv6.
type family struct {
	number      byte // NFPROTO_*
	unspecified netip.Addr
	addrType    nftables.SetDatatype
	addrLen     uint32
	sourceAt    uint32 // offsets in the network header
	destAt      uint32

	// Names of sets and maps.
	subnets     string // all but those without a way in or out
	masqueraded string
	routed      string
	everywhere  string // protocol . port → address . port, for all of the host's addresses
	somewhere   string // address . protocol . port → address . port
	quiet       string // interfaces that do not forward among each other
}

var (
	ip4 = &family{
		number: unix.NFPROTO_IPV4, unspecified: netip.IPv4Unspecified(),
		addrType: nftables.TypeIPAddr, addrLen: 4, sourceAt: 12, destAt: 16,
		subnets: "subnets4", masqueraded: "masqueraded4", routed: "routed4",
		everywhere: "everywhere4", somewhere: "somewhere4", quiet: "quiet4",
	}
	ip6 = &family{
		number: unix.NFPROTO_IPV6, unspecified: netip.IPv6Unspecified(),
		addrType: nftables.TypeIP6Addr, addrLen: 16, sourceAt: 8, destAt: 24,
		subnets: "subnets6", masqueraded: "masqueraded6", routed: "routed6",
		everywhere: "everywhere6", somewhere: "somewhere6", quiet: "quiet6",
	}
	families = []*family{ip4, ip6}
)

func familyOf(a netip.Addr) *family {
	if a.Is4() {
		return ip4
	}
	return ip6
}
