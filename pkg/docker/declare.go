// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"slices"
	"time"

	"github.com/moby/moby/api/types/network"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// Declare is the request for a network that an engine has made, which keeps its
// id and the time of its creation. It is refused as the engine's API would be.
func Declare(id string, c network.CreateRequest, created time.Time) (*controlpb.CreateBridgeRequest, error) {
	if err := checkCreate(&c); err != nil {
		return nil, err
	}
	// An engine has entered the settings of the configuration that a network was
	// made from, which nobody may give together with it.
	alone := c
	alone.ConfigFrom = nil
	if err := checkKind(alone); err != nil {
		return nil, err
	}
	return requestOf(id, c, factsOfRequest(c, created))
}

// Drivers are the drivers of networks that can be declared.
func Drivers() []string { return []string{"bridge", "overlay", "arca"} }

// IsPredefined tells of a name that every engine has a network of.
func IsPredefined(name string) bool { return isPredefined(name) }

// IsID tells whether a text has the form of Docker's ids.
func IsID(s string) bool { return isID(s) }

// WithoutCounterpart are the options that are kept and shown, but mean nothing
// here.
func WithoutCounterpart(options map[string]string) (out []string) {
	effective := []string{
		optionMasquerade, optionICC, optionHostBinding, optionGatewayMode4, optionGatewayMode6, optionMTU, optionEnableIPv4, optionEnableIPv6,
	}
	for _, key := range sortedKeys(options) {
		if !slices.Contains(effective, key) {
			out = append(out, key)
		}
	}
	return out
}
