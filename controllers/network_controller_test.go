// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

func TestNetwork(t *testing.T) {
	w := newWorld(t)

	t.Run("chosen subnets", func(t *testing.T) {
		bridge := await(t, w, w.network(t, "bridge"), "ready", ready[*v1alpha1.Network])
		other := await(t, w, w.network(t, "other"), "ready", ready[*v1alpha1.Network])
		if s := bridge.Status.Subnets[0]; s.CIDR != "172.17.0.0/16" || s.Gateway != "172.17.0.1" {
			t.Errorf("bridge has %+v", s)
		}
		if s := other.Status.Subnets[0]; s.CIDR != "172.18.0.0/16" {
			t.Errorf("other has %+v", s)
		}
		if got := w.nb(t, "--bare", "--columns=networks", "find", "Logical_Router_Port", "external_ids:arca-owner-name=bridge"); got != "172.17.0.1/16" {
			t.Errorf("the router's port has %q", got)
		}
	})

	t.Run("overlap: the older wins, and the newer heals when it goes", func(t *testing.T) {
		older := await(t, w, w.network(t, "older", "10.1.0.0/16"), "ready", ready[*v1alpha1.Network])
		newer := await(t, w, w.network(t, "newer", "10.1.2.0/24"), "refused", refused[*v1alpha1.Network](v1alpha1.ReasonSubnetOverlap))
		message := newer.Status.Conditions[0].Message
		if !strings.Contains(message, "10.1.2.0/24") || !strings.Contains(message, "network older") {
			t.Errorf("message %q names neither the range nor the other network", message)
		}
		if out := w.nb(t, "--bare", "--columns=name", "find", "Logical_Switch", "name=arca-newer"); out != "" {
			t.Errorf("a refused network has a switch %q", out)
		}
		w.delete(t, older)
		await(t, w, newer, "ready", ready[*v1alpha1.Network])
	})

	t.Run("the system's own range", func(t *testing.T) {
		await(t, w, w.network(t, "join", "100.64.1.0/24"), "refused", refused[*v1alpha1.Network](v1alpha1.ReasonSubnetOverlap))
	})

	t.Run("duplicate name", func(t *testing.T) {
		n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "second"}, Spec: v1alpha1.NetworkSpec{DNSName: "other"}}
		w.create(t, n)
		await(t, w, n, "refused", refused[*v1alpha1.Network](v1alpha1.ReasonNameConflict))
		n.Spec.DNSName = "another"
		if err := w.Update(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		await(t, w, n, "ready", ready[*v1alpha1.Network])
	})

	t.Run("subnets in use", func(t *testing.T) {
		n := await(t, w, w.network(t, "used", "10.2.0.0/24"), "ready", ready[*v1alpha1.Network])
		a := await(t, w, w.attachment(t, "user", "used", nil), "programmed", programmed[*v1alpha1.Attachment])
		n.Spec.Subnets[0].CIDR = "10.3.0.0/24"
		if err := w.Update(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		await(t, w, n, "refused", refused[*v1alpha1.Network](v1alpha1.ReasonSubnetInUse))
		if n.Status.Subnets[0].CIDR != "10.2.0.0/24" {
			t.Errorf("the subnet in force changed to %+v", n.Status.Subnets)
		}
		w.delete(t, a)
		gone(t, w, a)
		await(t, w, n, "the new subnet", func(n *v1alpha1.Network) bool {
			return ready(n) && n.Status.Subnets[0].CIDR == "10.3.0.0/24"
		})
	})

	t.Run("deletion waits for attachments", func(t *testing.T) {
		n := await(t, w, w.network(t, "going", "10.4.0.0/24"), "ready", ready[*v1alpha1.Network])
		a := await(t, w, w.attachment(t, "last-guest", "going", nil), "programmed", programmed[*v1alpha1.Attachment])
		w.delete(t, n)
		await(t, w, n, "waiting", func(n *v1alpha1.Network) bool {
			for _, c := range n.Status.Conditions {
				if c.Type == v1alpha1.ConditionDeleting {
					return strings.Contains(c.Message, "last-guest")
				}
			}
			return false
		})
		await(t, w, w.attachment(t, "too-late", "going", nil), "refused", refused[*v1alpha1.Attachment](v1alpha1.ReasonNetworkDeleting))
		w.delete(t, a)
		late := &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: "too-late"}}
		w.delete(t, late)
		gone(t, w, n)
		if out := w.nb(t, "--bare", "--columns=name", "find", "Logical_Switch", "name=arca-going"); out != "" {
			t.Errorf("its switch is still there")
		}
		// And it can be made again under its name.
		await(t, w, w.network(t, "going", "10.4.0.0/24"), "ready", ready[*v1alpha1.Network])
	})
}
