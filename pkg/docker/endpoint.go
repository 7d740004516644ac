// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/network"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/util/validation"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// Annotations of an Attachment.
const (
	// AnnotationEndpointID is the engine's id of an endpoint, or ours.
	AnnotationEndpointID = AnnotationPrefix + "endpoint-id"
	// annotationEndpoint is what was asked for, in JSON.
	annotationEndpoint = AnnotationPrefix + "endpoint"
)

const (
	optionIfname  = "com.docker.network.endpoint.ifname"
	optionSysctls = "com.docker.network.endpoint.sysctls"
)

// EndpointFacts are what was asked for an endpoint.
type EndpointFacts struct {
	ID         string                      `json:"-"`
	IPAMConfig *network.EndpointIPAMConfig `json:"ipamConfig,omitempty"`
	Links      []string                    `json:"links,omitempty"`
	Aliases    []string                    `json:"aliases,omitempty"`
	DriverOpts map[string]string           `json:"driverOpts,omitempty"`
	GwPriority int                         `json:"gwPriority,omitempty"`
}

// Annotations are the facts as an object keeps them.
func (f EndpointFacts) Annotations() map[string]string {
	out := map[string]string{}
	if f.ID != "" {
		out[AnnotationEndpointID] = f.ID
	}
	if s := encode(f); s != "{}" {
		out[annotationEndpoint] = s
	}
	return out
}

// EndpointFactsOf are the facts of an attachment.
func EndpointFactsOf(a *controlpb.ContainerNetwork) EndpointFacts {
	var f EndpointFacts
	decode(a.GetAnnotations()[annotationEndpoint], &f)
	f.ID = EndpointID(a)
	return f
}

// checkEndpoint refuses settings that a network cannot have.
func checkEndpoint(n *dockerNetwork, e *network.EndpointSettings) error {
	ipam := e.IPAMConfig
	if ipam == nil {
		ipam = &network.EndpointIPAMConfig{}
	}
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if isPredefined(n.Name) {
		if ipam.IPv4Address.IsValid() || ipam.IPv6Address.IsValid() {
			add("user-specified IP address is supported on user-defined networks only")
		}
		if len(e.Aliases) > 0 {
			add("network-scoped aliases are only supported for user-defined networks")
		}
	}
	v4, v6 := ipam.IPv4Address, ipam.IPv6Address
	if v4.IsValid() && (!v4.Is4() && !v4.Is4In6() || v4.IsUnspecified()) {
		add("invalid IPv4 address: %s", v4)
	}
	if v6.IsValid() && (!v6.Is6() || v6.Is4In6() || v6.IsUnspecified() || v6.Zone() != "") {
		add("invalid IPv6 address: %s", v6)
	}
	for _, a := range ipam.LinkLocalIPs {
		if !a.IsValid() || a.IsUnspecified() {
			add("invalid link-local IP address: %s", a)
		}
	}
	for _, a := range []netip.Addr{v4.Unmap(), v6.Unmap()} {
		if a.IsValid() && n.info != nil && !slices.ContainsFunc(n.info.GetSubnets(), func(s *controlpb.Subnet) bool {
			p, err := netip.ParsePrefix(s.GetCidr())
			return err == nil && p.Contains(a)
		}) {
			add("no configured subnet contains IP address %s", a)
		}
	}
	if sysctls, ok := e.DriverOpts[optionSysctls]; ok {
		for sysctl := range strings.SplitSeq(sysctls, ",") {
			if p := strings.SplitN(sysctl, ".", 5); len(p) != 5 || !slices.Contains([]string{"ipv4", "ipv6", "mpls"}, p[1]) || !strings.EqualFold(p[3], "ifname") {
				add("unrecognised network interface sysctl '%s'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'", sysctl)
			}
		}
	}
	if len(errs) > 0 {
		return badRequest("invalid endpoint settings:\n%s", joinErrors(errs))
	}
	for _, a := range ipam.LinkLocalIPs {
		if !a.IsLinkLocalUnicast() {
			return badRequest("invalid link local IP address: %s", a)
		}
	}
	if _, ok := e.DriverOpts[optionSysctls]; ok {
		return badRequest("%s: not supported", optionSysctls)
	}
	return nil
}

// attachmentRequest asks the control API to connect a container.
func attachmentRequest(n *dockerNetwork, c Container, e *network.EndpointSettings, facts EndpointFacts, ifname string) *controlpb.AttachContainerRequest {
	r := &controlpb.AttachContainerRequest{
		ContainerId: c.ID, NetworkId: n.info.GetNetworkId(), Hostname: c.Name, Mac: e.MacAddress.String(),
		Interface:   &controlpb.Interface{Type: "Veth", Netns: c.Netns, Name: ifname},
		Annotations: facts.Annotations(),
	}
	if e.IPAMConfig != nil {
		for _, a := range []netip.Addr{e.IPAMConfig.IPv4Address.Unmap(), e.IPAMConfig.IPv6Address.Unmap()} {
			if a.IsValid() {
				r.Addresses = append(r.Addresses, a.String())
			}
		}
		for _, a := range e.IPAMConfig.LinkLocalIPs {
			r.LinkLocalAddresses = append(r.LinkLocalAddresses, a.Unmap().String())
		}
	}
	if e.GwPriority != 0 {
		r.RoutePriority = proto.Int32(int32(max(-1000, min(1000, e.GwPriority))))
	}
	if !isPredefined(n.Name) {
		r.Aliases = aliasesOf(c, e.Aliases)
	}
	return r
}

// aliasesOf are the names that a container answers to beside its own: those asked
// for, its short id, and its host name where that can be a name in DNS.
func aliasesOf(c Container, asked []string) []string {
	out := slices.Clone(asked)
	if isID(c.ID) {
		out = append(out, c.ID[:12])
	}
	if len(validation.IsDNS1123Subdomain(strings.ToLower(c.Hostname))) == 0 && len(c.Hostname) <= 63 {
		out = append(out, c.Hostname)
	}
	var unique []string
	for _, a := range out {
		if a != c.Name && !slices.Contains(unique, a) {
			unique = append(unique, a)
		}
	}
	return unique
}

// DerivedMAC is the MAC address of a container on a network (its id in the control
// API) where nobody asks for one and it has to be known in advance. It is the same
// at each start.
func DerivedMAC(container, network string) net.HardwareAddr {
	sum := sha256.Sum256([]byte("mac/" + container + "/" + network))
	return net.HardwareAddr{2, sum[0], sum[1], sum[2], sum[3], sum[4]}
}

// freeInterface is the first of eth0, eth1, … that is not taken.
func freeInterface(taken []string) string {
	for i := 0; ; i++ {
		if name := "eth" + strconv.Itoa(i); !slices.Contains(taken, name) {
			return name
		}
	}
}

// attachError is what the engine says where the control API refuses an endpoint.
func attachError(err error, n *dockerNetwork, name string) error {
	switch reasonOf(err) {
	case "AddressInUse", "AddressNotUsable":
		return forbidden("Address already in use")
	case "NameConflict":
		return endpointExists(name, n)
	case "PoolExhausted":
		return errorf(500, "no available IPv4 addresses on this network's address pools: %s (%s)", n.Name, n.ID)
	case "NetworkNotFound":
		return noSuchNetwork(n.Name)
	}
	return err
}

func endpointExists(name string, n *dockerNetwork) error {
	return forbidden("endpoint with name %s already exists in network %s", name, n.Name)
}

// containerError is what the engine says of a container that it does not have.
func containerError(err error, name string) error {
	if errors.Is(err, ErrNoSuchContainer) {
		return errorf(404, "No such container: %s", name)
	}
	return err
}
