// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"net/netip"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// Options of the bridge driver that mean something here. Others are kept and
// shown, as the engine does with what it does not know.
const (
	optionBridgeName    = "com.docker.network.bridge.name"
	optionMasquerade    = "com.docker.network.bridge.enable_ip_masquerade"
	optionICC           = "com.docker.network.bridge.enable_icc"
	optionInhibitIPv4   = "com.docker.network.bridge.inhibit_ipv4"
	optionDefaultBridge = "com.docker.network.bridge.default_bridge"
	optionHostBinding   = "com.docker.network.bridge.host_binding_ipv4"
	optionGatewayMode4  = "com.docker.network.bridge.gateway_mode_ipv4"
	optionGatewayMode6  = "com.docker.network.bridge.gateway_mode_ipv6"
	optionMTU           = "com.docker.network.driver.mtu"
	optionHostIPv4      = "com.docker.network.host_ipv4"
	optionHostIPv6      = "com.docker.network.host_ipv6"
	optionEnableIPv4    = "com.docker.network.enable_ipv4"
	optionEnableIPv6    = "com.docker.network.enable_ipv6"
)

// applyOptions puts what a network's options say into its request.
func applyOptions(r *controlpb.CreateBridgeRequest, options map[string]string) error {
	for _, key := range sortedKeys(options) {
		value := options[key]
		wrong := func(why string) error { return badRequest("failed to parse %s value: %s (%s)", key, value, why) }
		switch key {
		case optionMTU:
			n, err := strconv.Atoi(value)
			switch {
			case err != nil:
				return wrong(err.Error())
			case n < 0:
				return badRequest("invalid MTU number: %d", n)
			case n > 0:
				r.Mtu = proto.Int32(int32(min(n, 1<<30)))
			}
		case optionMasquerade, optionICC, optionInhibitIPv4, optionDefaultBridge, optionEnableIPv4, optionEnableIPv6:
			on, err := strconv.ParseBool(value)
			switch {
			case err != nil:
				return wrong(err.Error())
			case key == optionICC && !on:
				r.InterContainer = proto.Bool(false)
			case key == optionMasquerade && !on && !r.GetInternal():
				r.Egress = &controlpb.NetworkEgress{Mode: "Routed"}
			}
		case optionHostBinding, optionHostIPv4, optionHostIPv6:
			if _, err := netip.ParseAddr(value); err != nil {
				return wrong("nil ip")
			}
		case optionGatewayMode4, optionGatewayMode6:
			if err := applyGatewayMode(r, key, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func applyGatewayMode(r *controlpb.CreateBridgeRequest, key, mode string) error {
	switch mode {
	case "nat":
	case "routed":
		if !r.GetInternal() {
			r.Egress = &controlpb.NetworkEgress{Mode: "Routed"}
		}
	case "isolated":
		if !r.GetInternal() {
			return errorf(500, "gateway mode 'isolated' can only be used for an internal network")
		}
	case "nat-unprotected":
		return badRequest("%s: nat-unprotected is not supported: published ports are reachable, others are not", key)
	default:
		return badRequest("failed to parse %s value: %s (unknown gateway mode %s)", key, mode, mode)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
