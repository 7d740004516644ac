// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/moby/moby/api/types/network"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// dockerNetwork is a network as Docker sees it.
type dockerNetwork struct {
	network.Network
	// info is the network itself; nil for those without an object.
	info       *controlpb.BridgeInfo
	containers []string
	// attachments are those of the network, where it is complete.
	attachments []*controlpb.ContainerNetwork
	complete    bool

	encode     sync.Once
	summary    []byte
	summaryErr error
}

// summarised is the network as lists show it, in JSON. Nothing of it changes once
// it is read.
func (n *dockerNetwork) summarised() ([]byte, error) {
	n.encode.Do(func() { n.summary, n.summaryErr = encodeJSON(network.Summary{Network: n.Network}) })
	return n.summary, n.summaryErr
}

// networkOf is a network of the control API as Docker sees it.
func networkOf(b *controlpb.BridgeInfo) *dockerNetwork {
	f := FactsOf(b)
	n := &dockerNetwork{Network: f.network(), info: b, containers: b.GetContainers()}
	n.ID = NetworkID(b)
	n.Internal = b.GetInternal() && !f.ConfigOnly
	n.IPAM.Config = f.configs(b)
	return n
}

// shown tells whether clients see the network: not before it has been decided
// whether it can be. One that cannot is shown, for somebody has to remove it.
func (n *dockerNetwork) shown() bool {
	return n.info == nil || slices.ContainsFunc(n.info.GetConditions(), func(c *controlpb.Condition) bool { return c.GetType() == "Accepted" })
}

// hasAddresses tells whether endpoints on the network have addresses.
func (n *dockerNetwork) hasAddresses() bool { return n.info != nil && !n.ConfigOnly }

// EndpointID is the Docker id of an endpoint: that which was given to it, or one
// derived from its object.
func EndpointID(a *controlpb.ContainerNetwork) string {
	if id := a.GetAnnotations()[AnnotationEndpointID]; isID(id) {
		return id
	}
	return DerivedID(a.GetUid())
}

const (
	// AnnotationContainer is the engine's id of a container that is attached by
	// another name.
	AnnotationContainer = v1alpha1.AnnotationContainer
	// AnnotationMadeBy marks what an engine's driver has made.
	AnnotationMadeBy = v1alpha1.AnnotationMadeBy
)

// isReservation tells whether an attachment is an address that an engine has asked
// for, and not yet an endpoint.
func isReservation(a *controlpb.ContainerNetwork) bool {
	return a.GetAnnotations()[AnnotationMadeBy] != "" && a.GetAnnotations()[AnnotationEndpointID] == ""
}

// containerID is the engine's id of an endpoint's container.
func containerID(a *controlpb.ContainerNetwork) string {
	return or(a.GetAnnotations()[AnnotationContainer], a.GetContainerId())
}

// endpointsOf are the containers of a network, by their ids.
func endpointsOf(attachments []*controlpb.ContainerNetwork) map[string]network.EndpointResource {
	out := map[string]network.EndpointResource{}
	for _, a := range attachments {
		if a.GetDeleting() || isReservation(a) {
			continue
		}
		e := network.EndpointResource{Name: endpointName(a), EndpointID: EndpointID(a), MacAddress: hardwareAddr(a.GetMacAddress())}
		for _, s := range a.GetAddresses() {
			p, err := netip.ParsePrefix(s)
			switch {
			case err != nil:
			case p.Addr().Is4():
				e.IPv4Address = p
			default:
				e.IPv6Address = p
			}
		}
		key := containerID(a)
		if key == "" {
			key = "ep-" + e.EndpointID
		}
		out[key] = e
	}
	return out
}

// endpointName is the container's name, or what else there is.
func endpointName(a *controlpb.ContainerNetwork) string {
	return or(a.GetHostname(), or(a.GetContainerId(), a.GetName()))
}

func hardwareAddr(s string) network.HardwareAddr {
	m, err := net.ParseMAC(s)
	if err != nil {
		return nil
	}
	return network.HardwareAddr(m)
}
