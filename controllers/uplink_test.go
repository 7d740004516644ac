// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// uplinkRoutes lists the host's routes through the uplink that have a next hop.
func uplinkRoutes(t *testing.T) []string {
	t.Helper()
	link, err := netlink.LinkByName(topology.UplinkInterface)
	if err != nil {
		return nil
	}
	routes, err := netlink.RouteList(link, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range routes {
		if r.Gw != nil {
			out = append(out, fmt.Sprint(r.Dst, " via ", r.Gw, " mtu ", r.MTU))
		}
	}
	slices.Sort(out)
	return out
}

// TestUplinkRoutes: the host reaches the subnets of all networks, and no other,
// by packets as large as each network's.
func TestUplinkRoutes(t *testing.T) {
	w := newWorld(t)
	n := await(t, w, w.network(t, "n", "10.1.0.0/24", "fd00:1::/64"), "ready", ready[*v1alpha1.Network])
	m := await(t, w, w.network(t, "m", "10.2.0.0/24"), "ready", ready[*v1alpha1.Network])
	is := func(mtu int, want ...string) {
		t.Helper()
		await(t, w, m, fmt.Sprint("mtu ", mtu, ", routes ", want), func(*v1alpha1.Network) bool {
			link, err := netlink.LinkByName(topology.UplinkInterface)
			return err == nil && link.Attrs().MTU == mtu && slices.Equal(uplinkRoutes(t), want)
		})
	}
	is(1500, "10.1.0.0/24 via 100.64.0.1 mtu 1500", "10.2.0.0/24 via 100.64.0.1 mtu 1500",
		"fd00:1::/64 via fdac:a64e:20d3:6440::1 mtu 1500")
	setMTU := func(n *v1alpha1.Network, mtu int32) {
		t.Helper()
		patch := client.MergeFrom(n.DeepCopy())
		n.Spec.MTU = &mtu
		if err := w.Patch(t.Context(), n, patch); err != nil {
			t.Fatal(err)
		}
	}
	setMTU(n, 1280)
	is(1500, "10.1.0.0/24 via 100.64.0.1 mtu 1280", "10.2.0.0/24 via 100.64.0.1 mtu 1500",
		"fd00:1::/64 via fdac:a64e:20d3:6440::1 mtu 1280")
	setMTU(n, 9000)
	is(9000, "10.1.0.0/24 via 100.64.0.1 mtu 9000", "10.2.0.0/24 via 100.64.0.1 mtu 1500",
		"fd00:1::/64 via fdac:a64e:20d3:6440::1 mtu 9000")
	w.delete(t, n)
	gone(t, w, n)
	is(1500, "10.2.0.0/24 via 100.64.0.1 mtu 1500")
}
