// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// The engine (from 28.0) can have a container reached by one endpoint over IPv4 and by
// another one over IPv6, where its networks have not the same families. It gives each
// all ports, and says no more than this: the one of IPv4 is told optionNoProxy6To4 where
// the other was there before (ProgramExternalConnectivity of Moby's
// daemon/libnetwork/drivers/remote). That the one of IPv6 has the ports of IPv6 alone
// follows from the other's having published those of IPv4.

// optionNoProxy6To4 says that another endpoint is reached over IPv6.
const optionNoProxy6To4 = "com.docker.network.driver.private.no_proxy_6to4"

// hostFamily is a family of the host's addresses: what stands for all of them.
type hostFamily struct{ any string }

var (
	ipv4 = hostFamily{"0.0.0.0"}
	ipv6 = hostFamily{"::"}
)

// has tells whether an endpoint has an address of the family.
func (f hostFamily) has(a attachment) bool {
	return slices.ContainsFunc(a.GetAddresses(), func(s string) bool {
		p, err := netip.ParsePrefix(s)
		return err == nil && (p.Addr().Is4() == (f == ipv4))
	})
}

// part is the host's address by which a port is published in the family, where that of
// both is host.
func (f hostFamily) part(host string) (part string, found bool) {
	if host == "" {
		return f.any, true
	}
	ip, err := netip.ParseAddr(host)
	return host, err == nil && ip.Is4() == (f == ipv4)
}

// of are the bindings of the family.
func (f hostFamily) of(bindings []binding) (out []binding) {
	for _, b := range bindings {
		if host, found := f.part(b.port.GetHostIp()); found {
			b.port = &controlpb.PublishedPort{HostIp: host, ContainerPort: b.port.GetContainerPort(), Protocol: b.port.GetProtocol()}
			out = append(out, b)
		}
	}
	return out
}

// published are the ports that an endpoint publishes in the family.
func (f hostFamily) published(a attachment) (out []*controlpb.PublishedPort) {
	if !f.has(a) {
		return nil
	}
	for _, q := range a.GetPorts() {
		if host, found := f.part(q.GetHostIp()); found {
			out = append(out, &controlpb.PublishedPort{
				HostIp: host, HostPort: q.GetHostPort(), ContainerPort: q.GetContainerPort(), Protocol: q.GetProtocol(),
			})
		}
	}
	return out
}

// familiesApart tells which of its bindings an endpoint publishes where the container is
// reached by others as well, and whether anything is different now: the others are left
// what is theirs. They have to be found among all. apart: it is told that another one is
// reached over IPv6.
func (p *Plugin) familiesApart(ctx context.Context, a attachment, apart bool, bindings []binding) (mine []binding, changed bool, err error) {
	list, err := p.all(ctx)
	if err != nil {
		return nil, false, err
	}
	var errs []error
	for _, other := range list {
		if other.place() == a.place() || !sameContainer(other, a) || len(ipv4.published(other)) == 0 {
			continue
		}
		switch {
		case apart:
			changed = true
			errs = append(errs, p.setPorts(ctx, other, &controlpb.PublishedPorts{Ports: ipv6.published(other)}))
		case ipv6.has(a):
			return ipv6.of(bindings), true, nil
		}
	}
	return bindings, changed, errors.Join(errs...)
}
