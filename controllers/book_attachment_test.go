// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"net/netip"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// An interface that is given up is told to who waits for it, whatever network
// that is in.
func TestReleasedInterfaceWakesOtherNetworks(t *testing.T) {
	b := NewBook(func() ([]netip.Prefix, error) { return nil, nil })
	network := func(name, cidr string) *v1alpha1.Network {
		n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}
		n.Spec.Subnets = []v1alpha1.Subnet{{CIDR: cidr}}
		granted, why := b.AcquireNetwork(n)
		if why != nil {
			t.Fatal(why.Message)
		}
		n.Status.Subnets = granted
		return n
	}
	attachment := func(name, network, container string) *v1alpha1.Attachment {
		a := &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}
		a.Spec.Network, a.Spec.Container = network, v1alpha1.Container{ID: container, Name: container}
		a.Spec.Interface = v1alpha1.Interface{Type: v1alpha1.InterfaceVeth, Netns: "/run/netns/" + container}
		return a
	}
	one, two := network("one", "10.1.0.0/24"), network("two", "10.2.0.0/24")
	if _, why := b.AcquireAttachment(attachment("holds", "one", "c"), one); why != nil {
		t.Fatal(why.Message)
	}
	if _, why := b.AcquireAttachment(attachment("waits", "two", "c"), two); why == nil || why.Reason != v1alpha1.ReasonNameConflict {
		t.Fatalf("got %v, want a conflict of interface names", why)
	}
	if waiting, _ := b.ReleaseAttachment("holds"); !slices.Equal(waiting, []string{"waits"}) {
		t.Errorf("woken: %v, want [waits]", waiting)
	}
	if _, why := b.AcquireAttachment(attachment("waits", "two", "c"), two); why != nil {
		t.Error(why.Message)
	}
}
