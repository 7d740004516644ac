// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// Each port brings several events within milliseconds. What follows from an object that
// was read before the last write to it is refused by the API, after all of its work: it
// was so for four of five attachments that came in numbers.
func TestStatusesFollowFromWhatWasWritten(t *testing.T) {
	const many = 40
	w := newWorld(t)
	await(t, w, w.network(t, "n", "10.1.0.0/24"), "ready", ready[*v1alpha1.Network])
	for i := range many {
		netns(t, fmt.Sprint("c", i))
	}
	before := conflicts(t)
	var made []*v1alpha1.Attachment
	for i := range many {
		made = append(made, w.attachment(t, fmt.Sprint("c", i), "n", nil))
	}
	for _, a := range made {
		await(t, w, a, "ready", ready[*v1alpha1.Attachment])
	}
	if refused := conflicts(t) - before; refused > many/10 {
		t.Errorf("%d writes of the statuses of %d attachments were conflicts", refused, many)
	}
}

// conflicts counts the requests of this process that were answered so.
func conflicts(t *testing.T) (n int) {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "rest_client_requests_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "code" && l.GetValue() == "409" {
					n += int(m.GetCounter().GetValue())
				}
			}
		}
	}
	return n
}
