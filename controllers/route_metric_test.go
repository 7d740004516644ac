// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// TestRouteMetric: each of these has the default route where those after it are
// in the same container.
func TestRouteMetric(t *testing.T) {
	normal, hidden := &v1alpha1.Network{}, &v1alpha1.Network{}
	none := &v1alpha1.Network{}
	hidden.Spec.Internal = true
	none.Spec.Egress = &v1alpha1.NetworkEgress{Mode: v1alpha1.EgressNone}
	last := int32(0)
	for _, o := range []struct {
		name     string
		priority int32
		network  *v1alpha1.Network
	}{
		{"eth1", 1000, normal},
		{"net0", 1000, normal},
		{"eth9", 1, normal},
		{"", 0, normal}, // eth0
		{"eth1", 0, normal},
		{"eth99", 0, normal},
		{"eth100", 0, normal},
		{"eth0", -1, normal},
		{"wlan", -1000, normal},
		{"eth0", 1000, hidden},
		{"eth1", 1000, none},
		{"eth0", -1000, hidden},
	} {
		a := &v1alpha1.Attachment{}
		a.Spec.Interface.Name = o.name
		if o.priority != 0 {
			a.Spec.RoutePriority = &o.priority
		}
		metric := routeMetric(a, o.network)
		if metric <= last {
			t.Errorf("%+v: metric %d, want more than %d", o, metric, last)
		}
		last = metric
	}
}
