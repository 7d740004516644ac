// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/moby/moby/api/types/network"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// BridgeNetwork is the name of the Network object of the predefined network
// bridge. The other two, host and none, are no networks at all, and not stored.
const BridgeNetwork = "bridge"

// isPredefined tells of a name that it is not the users' to give or to remove.
func isPredefined(name string) bool {
	switch name {
	case network.NetworkBridge, network.NetworkHost, network.NetworkNone, network.NetworkDefault:
		return true
	}
	return false
}

// bridgeRequest asks for the predefined network bridge.
func bridgeRequest() *controlpb.CreateBridgeRequest {
	f := Facts{Name: BridgeNetwork, Driver: "bridge", Options: map[string]string{
		optionDefaultBridge: "true",
		optionICC:           "true",
		optionMasquerade:    "true",
		optionHostBinding:   "0.0.0.0",
		optionBridgeName:    "docker0",
		optionMTU:           "1500",
	}}
	return &controlpb.CreateBridgeRequest{NetworkId: BridgeNetwork, Name: BridgeNetwork, Annotations: f.Annotations()}
}

// special are the predefined networks without an object.
func special() []*dockerNetwork {
	var out []*dockerNetwork
	for name, driver := range map[string]string{network.NetworkHost: "host", network.NetworkNone: "null"} {
		f := Facts{Name: name, Driver: driver, Scope: scopeLocal, EnableIPv4: true}
		n := &dockerNetwork{Network: f.network()}
		n.ID = SpecialID(name)
		out = append(out, n)
	}
	return out
}

// SpecialID is the id of host or none.
func SpecialID(name string) string { return DerivedID("network.arca.dev/" + name) }

// DerivedID is an id in Docker's form for what has none.
func DerivedID(of string) string {
	sum := sha256.Sum256([]byte(of))
	return hex.EncodeToString(sum[:])
}

// NetworkID is the Docker id of a network: its object's name, if it is one, or
// derived from the object.
func NetworkID(b *controlpb.BridgeInfo) string {
	if isID(b.GetNetworkId()) {
		return b.GetNetworkId()
	}
	return DerivedID(b.GetUid())
}

// isID tells whether a text has the form of Docker's ids.
func isID(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
