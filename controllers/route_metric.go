// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// What the metric of a default route is put together from, in decimal digits
// that a person can read: first whether the network has a way out, then the
// priority, then the interface. The kernel refuses equal ones in a namespace.
const (
	metricNoWayOut    = 10_000_000
	metricPerPriority = 1000
	maxRoutePriority  = 1000 // as the schema says
	metricFirst       = 100  // eth0's; a person's own route may well have less
	metricOtherNames  = 200
)

// routeMetric is the metric of an attachment's default routes. It depends on
// nothing of the container's other attachments: when one goes, the kernel uses
// the next.
func routeMetric(a *v1alpha1.Attachment, n *v1alpha1.Network) int32 {
	priority := int32(0)
	if a.Spec.RoutePriority != nil {
		priority = *a.Spec.RoutePriority
	}
	metric := (maxRoutePriority-priority)*metricPerPriority + interfaceMetric(innerName(a))
	if n.EffectiveEgressMode() == v1alpha1.EgressNone {
		metric += metricNoWayOut
	}
	return metric
}

// interfaceMetric is from 100 to 999. Those of eth0 to eth99 differ for certain.
func interfaceMetric(name string) int32 {
	if digits, is := strings.CutPrefix(name, "eth"); is {
		if n, err := strconv.ParseUint(digits, 10, 16); err == nil && n < metricOtherNames-metricFirst {
			return metricFirst + int32(n)
		}
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return metricOtherNames + int32(h.Sum32()%(metricPerPriority-metricOtherNames))
}
