// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/network"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// AnnotationPrefix begins the keys of all that only Docker knows of an object.
const AnnotationPrefix = "docker.network.arca.dev/"

// Annotations of a Network. What is not there is as Docker has it by default.
const (
	annotationName       = AnnotationPrefix + "name"
	annotationCreated    = AnnotationPrefix + "created"
	AnnotationDriver     = AnnotationPrefix + "driver"
	annotationScope      = AnnotationPrefix + "scope"
	annotationAttachable = AnnotationPrefix + "attachable"
	annotationIngress    = AnnotationPrefix + "ingress"
	annotationConfigOnly = AnnotationPrefix + "config-only"
	annotationConfigFrom = AnnotationPrefix + "config-from"
	annotationIPv4       = AnnotationPrefix + "enable-ipv4" // of a config-only network
	annotationIPv6       = AnnotationPrefix + "enable-ipv6"
	annotationOptions    = AnnotationPrefix + "options" // JSON, as the next two
	annotationLabels     = AnnotationPrefix + "labels"
	annotationIPAM       = AnnotationPrefix + "ipam"
)

const scopeLocal = "local"

// Facts are what Docker says of a network beside what it is: the object's
// annotations, decoded.
type Facts struct {
	Name       string
	Created    time.Time
	Driver     string
	Scope      string
	Attachable bool
	Ingress    bool
	ConfigOnly bool
	ConfigFrom string
	Options    map[string]string
	Labels     map[string]string
	// IPAM is what was asked for; what was chosen is the object's.
	IPAM network.IPAM
	// EnableIPv4 and EnableIPv6 are the object's families, and facts only where
	// the network has none, being a configuration.
	EnableIPv4, EnableIPv6 bool
}

// Annotations are the facts as an object keeps them.
func (f Facts) Annotations() map[string]string {
	out := map[string]string{}
	text := func(key, value, unless string) {
		if value != unless && value != "" {
			out[key] = value
		}
	}
	flag := func(key string, set bool) {
		if set {
			out[key] = "true"
		}
	}
	text(annotationName, f.Name, "")
	text(AnnotationDriver, f.Driver, "")
	text(annotationScope, f.Scope, scopeLocal)
	text(annotationConfigFrom, f.ConfigFrom, "")
	flag(annotationAttachable, f.Attachable)
	flag(annotationIngress, f.Ingress)
	flag(annotationConfigOnly, f.ConfigOnly)
	if f.ConfigOnly {
		out[annotationIPv4] = strconv.FormatBool(f.EnableIPv4)
		out[annotationIPv6] = strconv.FormatBool(f.EnableIPv6)
	}
	if !f.Created.IsZero() {
		out[annotationCreated] = f.Created.UTC().Format(time.RFC3339Nano)
	}
	if len(f.Options) > 0 {
		out[annotationOptions] = encode(f.Options)
	}
	if len(f.Labels) > 0 {
		out[annotationLabels] = encode(f.Labels)
	}
	if f.IPAM.Driver != "" || f.IPAM.Options != nil || len(f.IPAM.Config) > 0 {
		out[annotationIPAM] = encode(f.IPAM)
	}
	return out
}

// FactsOf are the facts of a network. One that was not made by way of Docker, or
// whose annotations somebody has spoilt, is what Docker would call it.
func FactsOf(b *controlpb.BridgeInfo) Facts {
	a := b.GetAnnotations()
	is := func(key string) bool { return a[key] == "true" }
	f := Facts{
		Name: or(a[annotationName], b.GetName()), Created: b.GetCreated().AsTime(), Driver: or(a[AnnotationDriver], "bridge"), Scope: or(a[annotationScope], scopeLocal),
		Attachable: is(annotationAttachable), Ingress: is(annotationIngress), ConfigOnly: is(annotationConfigOnly), ConfigFrom: a[annotationConfigFrom],
		EnableIPv4: slices.Contains(b.GetIpFamilies(), "IPv4"), EnableIPv6: slices.Contains(b.GetIpFamilies(), "IPv6"),
	}
	if t, err := time.Parse(time.RFC3339Nano, a[annotationCreated]); err == nil {
		f.Created = t
	}
	if f.ConfigOnly {
		f.EnableIPv4, f.EnableIPv6 = is(annotationIPv4), is(annotationIPv6)
	}
	decode(a[annotationOptions], &f.Options)
	decode(a[annotationLabels], &f.Labels)
	decode(a[annotationIPAM], &f.IPAM)
	if _, given := a[annotationLabels]; !given {
		f.Labels = b.GetLabels()
	}
	return f
}

func or(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only maps of text and addresses are given
	}
	return string(b)
}

// decode leaves v as it is where the text cannot be read.
func decode[T any](s string, v *T) {
	var fresh T
	if s != "" && json.Unmarshal([]byte(s), &fresh) == nil {
		*v = fresh
	}
}

// network is what Docker says of a network, but for what its object tells.
func (f Facts) network() network.Network {
	n := network.Network{
		Name: f.Name, Created: f.Created, Scope: f.Scope, Driver: f.Driver, EnableIPv4: f.EnableIPv4, EnableIPv6: f.EnableIPv6,
		IPAM: network.IPAM{Driver: or(f.IPAM.Driver, "default"), Options: f.IPAM.Options}, Attachable: f.Attachable, Ingress: f.Ingress,
		ConfigFrom: network.ConfigReference{Network: f.ConfigFrom}, ConfigOnly: f.ConfigOnly,
		Options: maps.Clone(f.Options), Labels: maps.Clone(f.Labels),
	}
	if n.Options == nil {
		n.Options = map[string]string{}
	}
	if n.Labels == nil {
		n.Labels = map[string]string{}
	}
	return n
}

// configs are the IPAM configurations of a network: those asked for, completed
// by what is in force, and what was chosen for a family without any.
func (f Facts) configs(b *controlpb.BridgeInfo) []network.IPAMConfig {
	if f.ConfigOnly {
		return nil
	}
	inForce := map[bool]network.IPAMConfig{}
	for _, s := range b.GetSubnets() {
		if c, ok := configOf(s); ok {
			if f.isolated(c.Subnet.Addr()) {
				c.Gateway = netip.Addr{}
			}
			inForce[c.Subnet.Addr().Is4()] = c
		}
	}
	var asked, chosen []network.IPAMConfig
	for _, ipv4 := range []bool{true, false} {
		c, ok := inForce[ipv4]
		if !ok {
			continue
		}
		of := askedOf(f.IPAM.Config, ipv4)
		if of == nil {
			chosen = append(chosen, c)
			continue
		}
		if !of.Gateway.IsValid() {
			of.Gateway = c.Gateway
		}
		asked = append(asked, *of)
	}
	return append(asked, chosen...)
}

// isolated tells whether a family of the network has no gateway that clients
// should know of.
func (f Facts) isolated(a netip.Addr) bool {
	mode := optionGatewayMode4
	if a.Is6() {
		mode = optionGatewayMode6
	}
	return f.Options[mode] == "isolated"
}

// askedOf is the configuration that was asked for a family.
func askedOf(configs []network.IPAMConfig, ipv4 bool) *network.IPAMConfig {
	for _, c := range configs {
		if c.Subnet.IsValid() && c.Subnet.Addr().Unmap().Is4() == ipv4 {
			return &c
		}
	}
	return nil
}

// configOf is a subnet of the control API as Docker writes it.
func configOf(s *controlpb.Subnet) (c network.IPAMConfig, ok bool) {
	var err error
	if c.Subnet, err = netip.ParsePrefix(s.GetCidr()); err != nil {
		return c, false
	}
	c.Gateway, _ = netip.ParseAddr(s.GetGateway())
	c.IPRange, _ = netip.ParsePrefix(s.GetIpRange())
	for i, r := range s.GetReserved() {
		if a, err := netip.ParseAddr(r); err == nil {
			if c.AuxAddress == nil {
				c.AuxAddress = map[string]netip.Addr{}
			}
			c.AuxAddress["reserved"+strconv.Itoa(i)] = a
		}
	}
	return c, true
}
