// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// portMapping is one of runtimeConfig.portMappings.
type portMapping struct {
	HostPort      int32  `json:"hostPort"`
	ContainerPort int32  `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP"`
}

// mapped is a published port and which of the mappings it begins with.
type mapped struct {
	*controlpb.PublishedPort
	from int
}

// publish turns mappings into published ports. Runtimes write a range as one
// mapping for each port; they are put together again, for an attachment has at
// most 64 of them.
func publish(mappings []portMapping) ([]mapped, error) {
	ports := make([]mapped, 0, len(mappings))
	for i, m := range mappings {
		for _, p := range []struct {
			field string
			port  int32
		}{{"hostPort", m.HostPort}, {"containerPort", m.ContainerPort}} {
			if p.port < 1 || p.port > 65535 {
				return nil, invalidConfig(fmt.Sprintf("runtimeConfig.portMappings[%d].%s", i, p.field), fmt.Sprintf("%d: must be 1 to 65535", p.port))
			}
		}
		ports = append(ports, mapped{&controlpb.PublishedPort{
			HostIp: m.HostIP, HostPort: m.HostPort, HostPortEnd: m.HostPort, ContainerPort: m.ContainerPort,
			Protocol: strings.ToLower(cmp.Or(m.Protocol, "tcp")),
		}, i})
	}
	slices.SortStableFunc(ports, func(a, b mapped) int {
		return cmp.Or(cmp.Compare(a.HostIp, b.HostIp), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.HostPort, b.HostPort))
	})
	var out []mapped
	for _, p := range ports {
		if n := len(out); n > 0 && follows(out[n-1].PublishedPort, p.PublishedPort) {
			out[n-1].HostPortEnd = p.HostPort
			continue
		}
		out = append(out, p)
	}
	return out, nil
}

// follows tells whether a port is the next of a range. That a port is there
// twice is left to the API to refuse.
func follows(r, p *controlpb.PublishedPort) bool {
	return r.HostIp == p.HostIp && r.Protocol == p.Protocol && p.HostPort == r.HostPortEnd+1 &&
		p.ContainerPort == r.ContainerPort+(r.HostPortEnd-r.HostPort)+1
}
