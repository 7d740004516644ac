package vnet

import (
	"net"
	"net/netip"
)

// Owner names the object that a port of this host belongs to. It is written
// to the external_ids of the OVS Interface and Port rows.
type Owner struct {
	Kind, Name, UID string
}

// Type is the way in which a port's frames reach its user.
type Type string

// The types of ports.
const (
	// Veth is a veth pair: one end in br-int, the other moved into a network
	// namespace and configured there.
	Veth Type = "Veth"
	// Tap is a persistent tap device in br-int's namespace, whose frames a
	// process (a VMM) reads and writes.
	Tap Type = "Tap"
	// Internal is an OVS internal port, a device of br-int's own network
	// namespace. It is never moved to another one.
	Internal Type = "Internal"
	// External is an interface that somebody else made; it is only plugged in.
	External Type = "External"
)

// Port is the desired state of one port of this host.
type Port struct {
	Owner Owner
	Type  Type
	// Name is the name of the OVS port and interface, at most 15 bytes.
	Name string
	// IfaceID is the name of the Logical_Switch_Port that the interface is
	// bound to (external_ids:iface-id).
	IfaceID string
	// Netns is the path of the network namespace that the inner end of a Veth
	// belongs to, for example /run/netns/web. Veth only.
	Netns string
	// InnerName is the interface's name within Netns, for example eth0. Veth only.
	InnerName string
	// MAC is the address of the port's user.
	MAC net.HardwareAddr
	// Addresses are put on the inner end of a Veth or on an Internal port, those of
	// 169.254.0.0/16 with the scope of the link.
	Addresses []netip.Prefix
	// Routes are added next to the addresses' own.
	Routes []Route
	// MTU in bytes, of both ends; 0 leaves the kernel's default.
	MTU int
}

// Route is a route of the inner end of a port.
type Route struct {
	// Dst is the destination; 0.0.0.0/0 and ::/0 are the default routes.
	Dst netip.Prefix
	// Via is the next hop; the zero Addr means on link.
	Via netip.Addr
	// Metric orders routes to one destination; the lower wins. 0 is the kernel's default.
	Metric int
	// Table of the route; 0 is the main one.
	Table int
	// MTU in bytes of the way there, also for what the kernel forwards: it
	// answers a packet that is larger. 0 is the link's.
	MTU int
}
