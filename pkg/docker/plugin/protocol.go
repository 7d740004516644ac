// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

// The network driver's requests and answers, as the engine encodes them. Fields
// that are not needed are left out.

// capabilitiesResponse answers NetworkDriver.GetCapabilities.
type capabilitiesResponse struct {
	Scope             string
	ConnectivityScope string
}

// ipamData is a range of a network that is made.
type ipamData struct {
	AddressSpace string
	// Pool and Gateway are in CIDR form, the gateway with its own address.
	Pool, Gateway string
	// AuxAddresses are addresses, in CIDR form, that are not given to endpoints.
	AuxAddresses map[string]string
}

type createNetworkRequest struct {
	NetworkID          string
	Options            map[string]any
	IPv4Data, IPv6Data []ipamData
}

type networkRequest struct {
	NetworkID string
}

// endpointInterface is an endpoint's addresses, in CIDR form, and MAC.
type endpointInterface struct {
	Address, AddressIPv6, MacAddress string
}

type createEndpointRequest struct {
	NetworkID, EndpointID string
	Interface             *endpointInterface
	Options               map[string]any
}

// createEndpointResponse has only what the engine did not say itself.
type createEndpointResponse struct {
	Interface *endpointInterface `json:",omitempty"`
}

type endpointRequest struct {
	NetworkID, EndpointID string
}

type endpointInfoResponse struct {
	Value map[string]any
}

type joinRequest struct {
	NetworkID, EndpointID string
	SandboxKey            string
	Options               map[string]any
}

type interfaceName struct {
	SrcName, DstName, DstPrefix string
}

type joinResponse struct {
	InterfaceName         interfaceName
	Gateway, GatewayIPv6  string
	DisableGatewayService bool
}

type externalConnectivityRequest struct {
	NetworkID, EndpointID string
	Options               map[string]any
}

// The IPAM driver's.

type ipamCapabilitiesResponse struct {
	RequiresMACAddress    bool
	RequiresRequestReplay bool
}

type addressSpacesResponse struct {
	LocalDefaultAddressSpace, GlobalDefaultAddressSpace string
}

type requestPoolRequest struct {
	AddressSpace, Pool, SubPool string
	Options                     map[string]string
	V6                          bool
}

type requestPoolResponse struct {
	PoolID, Pool string
	Data         map[string]string
}

type releasePoolRequest struct {
	PoolID string
}

type requestAddressRequest struct {
	PoolID, Address string
	Options         map[string]string
}

type requestAddressResponse struct {
	// Address in CIDR form.
	Address string
	Data    map[string]string
}

type releaseAddressRequest struct {
	PoolID, Address string
}

// empty is the answer of a call that has none, and the request of one that
// carries none.
type empty struct{}

// Options that the engine sets.
const (
	optionGeneric      = "com.docker.network.generic"
	optionInternal     = "com.docker.network.internal"
	optionGateway      = "com.docker.network.gateway"
	optionPortMap      = "com.docker.network.portmap"
	optionApart        = "com.docker.network.driver.private.no_proxy_6to4"
	optionMAC          = "com.docker.network.endpoint.macaddress"
	optionEndpointName = "com.docker.network.endpoint.name"
	optionInterface    = "com.docker.network.endpoint.ifname"
	optionAddressType  = "RequestAddressType"
)

// Options that a person sets.
const (
	optionMTU            = "com.docker.network.driver.mtu"
	optionInterContainer = "com.docker.network.bridge.enable_icc"
	optionMasquerade     = "com.docker.network.bridge.enable_ip_masquerade"
	optionHostBinding    = "com.docker.network.bridge.host_binding_ipv4"
	// OptionNetwork names a Network object that is there already: the driver then
	// neither makes nor deletes it. It is an option of the network and of its IPAM.
	OptionNetwork = "network.arca.dev/network"
	// OptionHostname and OptionAliases are options of an endpoint: names that the
	// network's name server answers, aliases with commas between them.
	OptionHostname = "network.arca.dev/hostname"
	OptionAliases  = "network.arca.dev/aliases"
	// OptionLinkLocal is an option of an endpoint: its link-local addresses with commas
	// between them. An engine puts those on the interface that it knows of, and tells
	// no driver.
	OptionLinkLocal = "network.arca.dev/link-local-addresses"
	// OptionNames are aliases that nobody asked for: one that cannot be a name in
	// DNS is left out.
	OptionNames = "network.arca.dev/names"
	// OptionContainer is an option of an endpoint: the engine's id of the container.
	OptionContainer = "network.arca.dev/container-id"
	// OptionResolver is an option of an endpoint: ResolverGateway makes the gateway
	// the container's name server, where it reaches the world by this endpoint.
	OptionResolver  = "network.arca.dev/resolver"
	ResolverGateway = "gateway"
)
