// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/vas-solutus/arca-network/pkg/ovnsync"
)

// Names and addresses of the rows that all networks share.
const (
	// RouterName is the shared logical router.
	RouterName = "arca"
	// JoinSwitchName is the switch between the router and the host's kernel. No
	// network's switch has its name: an underscore cannot be in an object's name.
	JoinSwitchName = "arca_join"
	// UplinkPortName is the logical port of the host's end of the join switch,
	// and the iface-id of UplinkInterface.
	UplinkPortName = "arca-uplink0"
	// UplinkInterface is the OVS internal port in the host's kernel.
	UplinkInterface = "uplink0"

	// JoinCIDR is the range of the join switch (RFC 6598). No network may overlap it.
	JoinCIDR = "100.64.0.0/16"
	// JoinRouterAddress is the router's address on the join switch.
	JoinRouterAddress = "100.64.0.1/16"
	// UplinkAddress is the host's address on the join switch.
	UplinkAddress = "100.64.0.2/16"
	// JoinCIDR6 is the join switch's range for IPv6, a unique local one (RFC
	// 4193) that was drawn once and is the same everywhere. No network may
	// overlap it.
	JoinCIDR6 = "fdac:a64e:20d3:6440::/64"
	// JoinRouterAddress6 is the router's IPv6 address on the join switch.
	JoinRouterAddress6 = "fdac:a64e:20d3:6440::1/64"
	// UplinkAddress6 is the host's IPv6 address on the join switch.
	UplinkAddress6 = "fdac:a64e:20d3:6440::2/64"

	// LinkLocal4 and LinkLocal6 are the ranges by which endpoints of one network
	// reach each other, whatever its subnets are.
	LinkLocal4 = "169.254.0.0/16"
	LinkLocal6 = "fe80::/10"

	// AddressSetSubnets4 and AddressSetSubnets6 hold the subnets of all networks.
	AddressSetSubnets4 = "arca_subnets4"
	AddressSetSubnets6 = "arca_subnets6"
	// AddressSetInternal4 and AddressSetInternal6 hold the subnets of internal networks.
	AddressSetInternal4 = "arca_internal4"
	AddressSetInternal6 = "arca_internal6"
	// AddressSetGateways4 and AddressSetGateways6 hold the router's addresses.
	AddressSetGateways4 = "arca_gateways4"
	AddressSetGateways6 = "arca_gateways6"
)

// Owner kinds of rows.
const (
	KindTopology   = "Topology"
	KindNetwork    = "Network"
	KindAttachment = "Attachment"
)

// UplinkOwner owns what binds the router to this host, in all targets.
func UplinkOwner() ovnsync.Owner {
	return ovnsync.Owner{Kind: KindTopology, Name: UplinkInterface, UID: UplinkInterface}
}

// UplinkMAC is the MAC address of UplinkInterface.
func UplinkMAC() net.HardwareAddr { return systemMAC("uplink") }

// SwitchName is the name of a network's logical switch.
func SwitchName(network string) string { return "arca-" + network }

// PortName is the name of an attachment's logical switch port, which is also
// the iface-id of its interface. It holds the UID: a new attachment of the
// same name never binds to an interface that was left behind.
func PortName(uid types.UID) string { return "arca-" + string(uid) }

// PortGroupName is the name of the port group of a network's endpoints. OVN
// uses it in matches, where only letters, digits, '_' and '.' may stand.
func PortGroupName(network types.UID) string {
	return "arca_" + strings.ReplaceAll(string(network), "-", "")
}

// routerPortName is the name of the router's port on a network, and
// switchRouterPortName that of the other end on the network's switch.
func routerPortName(network string) string       { return "arca-rtr-" + network }
func switchRouterPortName(network string) string { return "arca-sw-" + network }

// nameServerName is the name of the load balancer to the name server.
func nameServerName(network, protocol string) string { return "arca-dns-" + protocol + "-" + network }

// Row IDs.
func switchID(network string) string           { return "network/" + network }
func portGroupID(network string) string        { return "network/" + network }
func routerPortID(network string) string       { return "network/" + network }
func switchRouterPortID(network string) string { return "network/" + network }
func nameServerID(network, protocol string) string {
	return "dns/" + protocol + "/" + network
}
func dhcpID(network, column string) string { return column + "/" + network }
func portID(uid types.UID) string          { return "attachment/" + string(uid) }

const (
	sharedID = "shared"
	joinID   = "join"
)

// systemMAC derives a locally administered unicast MAC for something that is
// not an endpoint. Its first byte, 0a, differs from the 02 of endpoints.
func systemMAC(of string) net.HardwareAddr {
	sum := sha256.Sum256([]byte("arca/" + of))
	return net.HardwareAddr{0x0a, sum[0], sum[1], sum[2], sum[3], sum[4]}
}

// RouterMAC is the MAC address of a network's gateway. It is the same for a
// network's name on every machine and after every restart.
func RouterMAC(network string) net.HardwareAddr {
	return systemMAC(fmt.Sprintf("router/%s", network))
}

// LinkLocal is the IPv6 link-local address that belongs to a MAC address, which
// port security lets an endpoint use without being told.
func LinkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{
		0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5],
	})
}

// IsRouterLinkLocal tells whether an address is what systemMAC makes: the router lets
// out what comes from its own.
func IsRouterLinkLocal(a netip.Addr) bool {
	b := a.As16()
	return a.Is6() && b[8] == 0x0a^2 && b[11] == 0xff && b[12] == 0xfe
}
