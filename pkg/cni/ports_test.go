// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
)

func TestPublish(t *testing.T) {
	var many []portMapping
	for i := range int32(100) {
		many = append(many, portMapping{HostPort: 9000 + i, ContainerPort: 80 + i, Protocol: "TCP"})
	}
	for _, tt := range []struct {
		name     string
		mappings []portMapping
		want     string
	}{
		{"one", []portMapping{{HostPort: 8080, ContainerPort: 80}}, "8080-8080:80/tcp@0"},
		{"a range", many, "9000-9099:80/tcp@0"},
		{"in any order", []portMapping{{HostPort: 2, ContainerPort: 12}, {HostPort: 1, ContainerPort: 11}}, "1-2:11/tcp@1"},
		{"to one port", []portMapping{{HostPort: 1, ContainerPort: 80}, {HostPort: 2, ContainerPort: 80}}, "1-1:80/tcp@0 2-2:80/tcp@1"},
		{"protocols apart", []portMapping{{HostPort: 1, ContainerPort: 1}, {HostPort: 2, ContainerPort: 2, Protocol: "udp"}}, "1-1:1/tcp@0 2-2:2/udp@1"},
		{"addresses apart", []portMapping{{HostPort: 1, ContainerPort: 1, HostIP: "127.0.0.1"}, {HostPort: 2, ContainerPort: 2}}, "2-2:2/tcp@1 127.0.0.1:1-1:1/tcp@0"},
		{"twice is kept, to be refused", []portMapping{{HostPort: 1, ContainerPort: 1}, {HostPort: 1, ContainerPort: 1}}, "1-1:1/tcp@0 1-1:1/tcp@1"},
	} {
		ports, err := publish(tt.mappings)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range ports {
			ip := ""
			if p.HostIp != "" {
				ip = p.HostIp + ":"
			}
			got = append(got, fmt.Sprintf("%s%d-%d:%d/%s@%d", ip, p.HostPort, p.HostPortEnd, p.ContainerPort, p.Protocol, p.from))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, got, tt.want)
		}
	}
	_, err := publish([]portMapping{{HostPort: 1, ContainerPort: 1}, {ContainerPort: 80}})
	isError(t, err, types.ErrInvalidNetworkConfig, "runtimeConfig.portMappings[1].hostPort: 0: must be 1 to 65535")
	_, err = publish([]portMapping{{HostPort: 1, ContainerPort: 65536}})
	isError(t, err, types.ErrInvalidNetworkConfig, "runtimeConfig.portMappings[0].containerPort: 65536")
}
