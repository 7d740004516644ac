// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/network"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// dnsName is what a network may be called in DNS. Docker takes any text.
var dnsName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`)

// checkCreate refuses what is wrong with a request by itself, in the engine's
// order, and enters what it leaves out.
func checkCreate(c *network.CreateRequest) error {
	if c.Name == "container" || strings.HasPrefix(c.Name, "container:") {
		return forbidden("network name %q is reserved and cannot be created", c.Name)
	}
	if isPredefined(c.Name) {
		return forbidden("operation is not permitted on predefined %s network ", c.Name)
	}
	c.Driver = or(c.Driver, "bridge")
	c.Options = maps.Clone(c.Options)
	for _, family := range []struct {
		enable **bool
		option string
		unset  bool
	}{{&c.EnableIPv4, optionEnableIPv4, true}, {&c.EnableIPv6, optionEnableIPv6, false}} {
		on := family.unset
		if v, given := c.Options[family.option]; *family.enable != nil {
			on = **family.enable
			delete(c.Options, family.option)
		} else if given {
			var err error
			if on, err = strconv.ParseBool(v); err != nil {
				return badRequest("driver-opt %q is not a valid bool", family.option)
			}
		}
		*family.enable = &on
	}
	if c.IPAM != nil {
		if err := checkIPAM(c.IPAM.Config, *c.EnableIPv6); err != nil {
			return err
		}
	}
	if strings.TrimSpace(c.Name) == "" {
		return badRequest("invalid name: name is empty")
	}
	return nil
}

// checkKind refuses what does not go together, and drivers that there are not.
func checkKind(c network.CreateRequest) error {
	if c.ConfigOnly && (c.Ingress || c.Internal || c.Attachable || c.Scope != "") {
		return forbidden("configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.")
	}
	if configFrom(c) != "" {
		if c.ConfigOnly {
			return forbidden("a configuration network cannot depend on another configuration network")
		}
		ipam := c.IPAM
		if ipam == nil {
			ipam = &network.IPAM{}
		}
		if or(ipam.Driver, "default") != "default" || !*c.EnableIPv4 || *c.EnableIPv6 || len(c.Labels) > 0 || len(ipam.Options) > 0 || len(ipam.Config) > 0 {
			return forbidden("user-specified configurations are not supported if the network depends on a configuration network")
		}
		if len(c.Options) > 0 {
			return forbidden("network driver options are not supported if the network depends on a configuration network")
		}
	}
	if c.ConfigOnly {
		return nil
	}
	switch c.Driver {
	case "bridge", "overlay", "arca":
	case "host", "null":
		return forbidden("only one instance of %q network is allowed", c.Driver)
	default:
		return errorf(http.StatusNotFound, "plugin %q not found", c.Driver)
	}
	if c.Ingress && c.Driver != "overlay" {
		return forbidden("Ingress network can only be global scope network")
	}
	if c.Scope == "swarm" {
		return forbidden("cannot create a swarm scoped network when swarm is not active")
	}
	if c.IPAM != nil {
		switch c.IPAM.Driver {
		case "", "default", "arca":
		case "null":
			return badRequest("ipv4 pool is empty")
		default:
			return errorf(http.StatusNotFound, "plugin %q not found", c.IPAM.Driver)
		}
	}
	return nil
}

func configFrom(c network.CreateRequest) string {
	if c.ConfigFrom == nil {
		return ""
	}
	return c.ConfigFrom.Network
}

// configured is a request with the settings of the configuration that it names.
func configured(c network.CreateRequest, from Facts) network.CreateRequest {
	c.Options, c.Labels = from.Options, from.Labels
	c.EnableIPv4, c.EnableIPv6 = &from.EnableIPv4, &from.EnableIPv6
	c.IPAM = &from.IPAM
	return c
}

// factsOfRequest are the facts of a network to be made.
func factsOfRequest(c network.CreateRequest, now time.Time) Facts {
	f := Facts{
		Name: c.Name, Created: now, Driver: c.Driver, Scope: c.Scope, Attachable: c.Attachable, Ingress: c.Ingress,
		ConfigOnly: c.ConfigOnly, ConfigFrom: configFrom(c), Options: c.Options, Labels: c.Labels,
		EnableIPv4: *c.EnableIPv4, EnableIPv6: *c.EnableIPv6,
	}
	if c.ConfigOnly {
		f.Driver = "null"
	}
	if c.IPAM != nil {
		f.IPAM = *c.IPAM
	}
	return f
}

// requestOf asks the control API for a network. A configuration is a network
// that nothing can be attached to: to keep it in an object it has a range of its
// own, a unique local one, of which there are plenty.
func requestOf(id string, c network.CreateRequest, f Facts) (*controlpb.CreateBridgeRequest, error) {
	r := &controlpb.CreateBridgeRequest{NetworkId: id, Annotations: f.Annotations()}
	internal := c.Internal || c.ConfigOnly
	r.Internal = &internal
	if c.ConfigOnly {
		r.IpFamilies = []string{"IPv6"}
		return r, nil
	}
	if dnsName.MatchString(c.Name) {
		r.Name = c.Name
	}
	if err := applyOptions(r, c.Options); err != nil {
		return nil, err
	}
	if f.EnableIPv4 {
		r.IpFamilies = append(r.IpFamilies, "IPv4")
	}
	if f.EnableIPv6 {
		r.IpFamilies = append(r.IpFamilies, "IPv6")
	}
	if len(r.IpFamilies) == 0 {
		return nil, badRequest("IPv4 or IPv6 must be enabled")
	}
	for _, ipv4 := range []bool{true, false} {
		if ipv4 && !f.EnableIPv4 || !ipv4 && !f.EnableIPv6 {
			continue
		}
		var of []network.IPAMConfig
		for _, config := range f.IPAM.Config {
			if config.Subnet.IsValid() && config.Subnet.Addr().Unmap().Is4() == ipv4 {
				of = append(of, config)
			}
		}
		if len(of) > 1 {
			return nil, forbidden("%s driver doesn't support multiple subnets", c.Driver)
		}
		if len(of) == 1 {
			s, err := subnetOf(of[0], c.Name)
			if err != nil {
				return nil, err
			}
			r.Subnets = append(r.Subnets, s)
		}
	}
	return r, nil
}

// subnetOf is an IPAM configuration as the control API takes it. The gateway is
// an address of the range too, where there is one.
func subnetOf(c network.IPAMConfig, name string) (*controlpb.Subnet, error) {
	s := &controlpb.Subnet{Cidr: c.Subnet.Masked().String()}
	gateway := c.Gateway.Unmap()
	if c.IPRange.IsValid() {
		s.IpRange = c.IPRange.Masked().String()
		if first := c.IPRange.Masked().Addr(); !gateway.IsValid() && first != c.Subnet.Masked().Addr() {
			gateway = first
		}
	}
	if c.Subnet.Addr().Is6() && c.Subnet.Addr().IsMulticast() {
		if !gateway.IsValid() {
			gateway = c.Subnet.Masked().Addr().Next()
		}
		return nil, badRequest("multicast subnet '%s' is not allowed", netip.PrefixFrom(gateway, c.Subnet.Bits()))
	}
	if gateway.IsValid() {
		if gateway == c.Subnet.Masked().Addr() {
			return nil, errorf(http.StatusInternalServerError, "failed to allocate gateway (%s): Address already in use", gateway)
		}
		s.Gateway = gateway.String()
	}
	for _, of := range sortedKeys(c.AuxAddress) {
		a := c.AuxAddress[of].Unmap()
		if !a.IsValid() {
			return nil, badRequest("non parsable secondary ip address (%s:%s) passed for network %s", of, a, name)
		}
		if a == gateway || slices.Contains(s.Reserved, a.String()) {
			return nil, errorf(http.StatusInternalServerError, "failed to allocate secondary ip address (%s:%s): Address already in use", of, a)
		}
		s.Reserved = append(s.Reserved, a.String())
	}
	return s, nil
}

// checkIPAM refuses configurations that contradict themselves. An IPv6 subnet of
// a network without IPv6 is not looked at.
func checkIPAM(configs []network.IPAMConfig, ipv6 bool) error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, c := range configs {
		family := familyOf(c.Subnet.Addr())
		if !ipv6 && family == 6 {
			continue
		}
		if c.Subnet != c.Subnet.Masked() {
			add("invalid subnet %s: it should be %s", c.Subnet, c.Subnet.Masked())
		}
		errs = append(errs, checkRange(c.IPRange, c.Subnet, family)...)
		if why := misfit(c.Gateway, c.Subnet, family); why != "" {
			add("invalid gateway %s: %s", c.Gateway, why)
		}
		for _, name := range sortedKeys(c.AuxAddress) {
			if why := misfit(c.AuxAddress[name], c.Subnet, family); why != "" {
				add("invalid auxiliary address %s: %s", name, why)
			}
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return badRequest("invalid network config:\n%s", joinErrors(errs))
}

func familyOf(a netip.Addr) int {
	if a.Is6() {
		return 6
	}
	return 4
}

func checkRange(r, subnet netip.Prefix, family int) (errs []error) {
	if !r.IsValid() {
		return nil
	}
	if familyOf(r.Addr()) != family {
		return []error{fmt.Errorf("invalid ip-range %s: parent subnet is an IPv%d block", r, family)}
	}
	if r.Bits() < subnet.Bits() {
		errs = append(errs, fmt.Errorf("invalid ip-range %s: CIDR block is bigger than its parent subnet %s", r, subnet))
	}
	if r != r.Masked() {
		errs = append(errs, fmt.Errorf("invalid ip-range %s: it should be %s", r, r.Masked()))
	}
	if !subnet.Overlaps(r) {
		errs = append(errs, fmt.Errorf("invalid ip-range %s: parent subnet %s doesn't contain ip-range", r, subnet))
	}
	return errs
}

// misfit says why an address cannot be of a subnet; nothing where it can.
func misfit(a netip.Addr, subnet netip.Prefix, family int) string {
	switch {
	case !a.IsValid():
	case familyOf(a) != family:
		return fmt.Sprintf("parent subnet is an IPv%d block", family)
	case !subnet.Contains(a):
		return fmt.Sprintf("parent subnet %s doesn't contain this address", subnet)
	}
	return ""
}

// createError is what the engine says where the control API refuses a network.
func createError(err error) error {
	switch reasonOf(err) {
	case "SubnetOverlap":
		return forbidden("invalid pool request: Pool overlaps with other one on this address space")
	case "PoolExhausted":
		return badRequest("all predefined address pools have been fully subnetted")
	}
	return err
}
