// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// networkOptions are what a network was asked to be.
type networkOptions struct {
	// existing is the id of a Network object that is there already.
	existing       string
	internal       bool
	mtu            *int32
	interContainer *bool
	routed         bool
	// hostBinding is the address that ports are published at where none is said.
	hostBinding string
}

// networkOptionsOf reads the options of CreateNetwork. What the driver does not
// know it refuses: an option that does nothing would only seem to work.
func networkOptionsOf(options map[string]any) (networkOptions, error) {
	o := networkOptions{}
	if value, given := options[optionInternal]; given {
		b, err := strconv.ParseBool(fmt.Sprint(value))
		if err != nil {
			return o, fmt.Errorf("option %s is %q; it must be true or false", optionInternal, fmt.Sprint(value))
		}
		o.internal = b
	}
	generic, err := stringsOf(options[optionGeneric])
	if err != nil {
		return o, fmt.Errorf("option %s: %w", optionGeneric, err)
	}
	if o.existing = generic[OptionNetwork]; o.existing != "" {
		return o, nil // all else is the object's
	}
	for _, key := range slices.Sorted(maps.Keys(generic)) {
		if err := o.set(key, generic[key]); err != nil {
			return o, err
		}
	}
	return o, nil
}

func (o *networkOptions) set(key, value string) error {
	flag := func() (bool, error) {
		b, err := strconv.ParseBool(value)
		if err != nil {
			return false, fmt.Errorf("option %s is %q; it must be true or false", key, value)
		}
		return b, nil
	}
	switch key {
	case optionMTU:
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return fmt.Errorf("option %s is %q; it must be a number of bytes", key, value)
		}
		mtu := int32(n)
		o.mtu = &mtu
	case optionInterContainer:
		b, err := flag()
		o.interContainer = &b
		return err
	case optionMasquerade:
		b, err := flag()
		o.routed = !b
		return err
	case optionHostBinding:
		a, err := netip.ParseAddr(value)
		if err != nil || !a.Is4() {
			return fmt.Errorf("option %s is %q; it must be an IPv4 address", key, value)
		}
		o.hostBinding = value
	case OptionNetwork:
		return fmt.Errorf("option %s is empty; it must be the id of a network", key)
	default:
		return fmt.Errorf("option %q is not supported by driver arca; it knows %s", key, strings.Join([]string{
			optionMTU, optionInterContainer, optionMasquerade, optionHostBinding, OptionNetwork}, ", "))
	}
	return nil
}

// createRequest is the network that an engine asks for; sub is the part of its
// IPv4 or IPv6 range that addresses are chosen from, by pool.
func createRequest(r createNetworkRequest, o networkOptions, sub map[netip.Prefix]netip.Prefix) (*controlpb.CreateBridgeRequest, error) {
	if len(r.IPv4Data) > 1 || len(r.IPv6Data) > 1 {
		return nil, fmt.Errorf("%d IPv4 and %d IPv6 subnets are asked for; a network has at most one of each",
			len(r.IPv4Data), len(r.IPv6Data))
	}
	out := &controlpb.CreateBridgeRequest{
		NetworkId: r.NetworkID, Name: shortID(r.NetworkID), InterContainer: o.interContainer, Mtu: o.mtu,
	}
	if o.internal {
		out.Internal = &o.internal
	}
	if o.routed && !o.internal {
		out.Egress = &controlpb.NetworkEgress{Mode: "Routed"}
	}
	for _, d := range slices.Concat(r.IPv4Data, r.IPv6Data) {
		s, err := subnetOf(d, sub)
		if err != nil {
			return nil, err
		}
		if s == nil { // of the IPAM driver null: one is chosen
			if len(r.IPv6Data) > 0 {
				return nil, fmt.Errorf("IPAM driver null cannot be used with IPv6: name subnets, or use --ipam-driver arca")
			}
			continue
		}
		out.Subnets = append(out.Subnets, s)
	}
	return out, nil
}

// subnetOf is a range, or nil for the pool of which nothing is known.
func subnetOf(d ipamData, sub map[netip.Prefix]netip.Prefix) (*controlpb.Subnet, error) {
	pool, err := netip.ParsePrefix(d.Pool)
	if err != nil {
		return nil, fmt.Errorf("pool %q: it must be in CIDR form", d.Pool)
	}
	if pool.Bits() == 0 {
		return nil, nil
	}
	s := &controlpb.Subnet{Cidr: pool.String()}
	if d.Gateway != "" {
		gateway, err := addressOf(d.Gateway)
		if err != nil {
			return nil, fmt.Errorf("gateway %q: %w", d.Gateway, err)
		}
		s.Gateway = gateway.String()
	}
	if part, ok := sub[pool]; ok {
		s.IpRange = part.String()
	}
	for _, name := range slices.Sorted(maps.Keys(d.AuxAddresses)) {
		a, err := addressOf(d.AuxAddresses[name])
		if err != nil {
			return nil, fmt.Errorf("auxiliary address %s %q: %w", name, d.AuxAddresses[name], err)
		}
		s.Reserved = append(s.Reserved, a.String())
	}
	return s, nil
}

// addressOf reads an address, with or without a prefix length.
func addressOf(s string) (netip.Addr, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Addr().Unmap(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, fmt.Errorf("it must be an IP address")
	}
	return a.Unmap(), nil
}

// stringsOf reads a map of strings out of what JSON made of it.
func stringsOf(v any) (map[string]string, error) {
	out := map[string]string{}
	switch v := v.(type) {
	case nil:
	case map[string]any:
		for key, value := range v {
			out[key] = fmt.Sprint(value)
		}
	default:
		return nil, fmt.Errorf("it must be an object")
	}
	return out, nil
}

// read decodes one option into a type.
func read(options map[string]any, key string, into any) error {
	v, given := options[key]
	if !given || v == nil {
		return nil
	}
	raw, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		return fmt.Errorf("option %s: %w", key, err)
	}
	return nil
}

// shortID is an engine's short form of an id: the whole one is too long for a
// name in DNS.
func shortID(id string) string {
	const short = 12
	if len(id) > short {
		return id[:short]
	}
	return id
}
