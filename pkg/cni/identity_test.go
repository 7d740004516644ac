// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

func TestContainerID(t *testing.T) {
	docker := strings.Repeat("0a", 32)
	if got := containerID(docker); got != docker {
		t.Errorf("got %s", got)
	}
	seen := map[string]string{}
	for _, id := range []string{"Upper", "upper", "under_score", "dash-", strings.Repeat("a", 129), strings.Repeat("a", 128), "a.b"} {
		got := containerID(id)
		if e := validation.IsDNS1123Subdomain(got); len(e) > 0 || len(got) > longestID {
			t.Errorf("%s: %s: %v", id, got, e)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%s and %s are both %s", id, other, got)
		}
		seen[got] = id
	}
	if furtherID("a.b", "c") == furtherID("a", "b.c") || furtherID("ab", "c") == furtherID("a", "bc") {
		t.Error("two interfaces have one id")
	}
}

func have(id, ifname, network, config string) *controlpb.ContainerNetwork {
	return &controlpb.ContainerNetwork{
		ContainerId: id, NetworkId: network,
		Interface: &controlpb.Interface{Name: ifname}, Labels: map[string]string{networkLabel: config},
	}
}

func TestIDFor(t *testing.T) {
	further := furtherID("c", "eth1")
	for _, tt := range []struct {
		name string
		have []*controlpb.ContainerNetwork
		want string
	}{
		{"the first", nil, "c"},
		{"on another network", []*controlpb.ContainerNetwork{have("c", "eth0", "other", "n")}, "c"},
		{"a further one", []*controlpb.ContainerNetwork{have("c", "eth0", "web", "n")}, further},
		{"a further one of another configuration", []*controlpb.ContainerNetwork{have("c", "eth0", "web", "m")}, further},
		{"again", []*controlpb.ContainerNetwork{have("c", "eth1", "web", "n")}, "c"},
		{"the further one again", []*controlpb.ContainerNetwork{have("c", "eth0", "web", "n"), have(further, "eth1", "web", "n")}, further},
		{"the further one again, without the first", []*controlpb.ContainerNetwork{have(further, "eth1", "web", "n")}, further},
		{"of somebody else, which the API then refuses", []*controlpb.ContainerNetwork{have("c", "eth1", "web", "")}, "c"},
	} {
		if got := idFor(tt.have, "n", "c", "eth1", "web"); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestStale(t *testing.T) {
	all := []*controlpb.ContainerNetwork{
		have("valid", "eth0", "web", "n"),
		have(furtherID("valid", "eth1"), "eth1", "web", "n"),
		have("valid", "eth2", "web", "n"),
		have("gone", "eth0", "web", "n"),
		have("gone", "eth0", "other", "n"),
		have(furtherID("gone", "eth1"), "eth1", "web", "n"),
		have("others", "eth0", "web", "m"),
		have("nobodys", "eth0", "web", ""),
		{ContainerId: "without", Interface: &controlpb.Interface{Name: "eth0"}},
	}
	valid := []types.GCAttachment{{ContainerID: "valid", IfName: "eth0"}, {ContainerID: "valid", IfName: "eth1"}}
	var got []string
	for _, n := range stale(all, "n", valid) {
		got = append(got, n.GetContainerId()+"/"+n.GetInterface().GetName()+"/"+n.GetNetworkId())
	}
	want := "valid/eth2/web gone/eth0/web gone/eth0/other " + furtherID("gone", "eth1") + "/eth1/web"
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestLabelOf(t *testing.T) {
	if got := labelOf("my-net.1"); got != "my-net.1" {
		t.Errorf("got %s", got)
	}
	long := strings.Repeat("n", 64)
	if got := labelOf(long); len(validation.IsValidLabelValue(got)) > 0 || got == labelOf(long+"n") {
		t.Errorf("got %s", got)
	}
}
