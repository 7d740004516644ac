// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// A link-local address is one attachment's in a network, and so is the one that a
// MAC address makes: OVN lets its owner use that without being told.
func TestLinkLocalAddressesAreHeld(t *testing.T) {
	b := NewBook(func() ([]netip.Prefix, error) { return nil, nil })
	n, other := testNetwork(t, b, "n", "10.1.0.0/24"), testNetwork(t, b, "other", "10.2.0.0/24")
	attachment := func(name, mac string, linkLocals ...string) *v1alpha1.Attachment {
		a := &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}
		a.Spec.Network, a.Spec.MAC, a.Spec.LinkLocalAddresses = "n", mac, linkLocals
		a.Spec.Interface = v1alpha1.Interface{Type: v1alpha1.InterfaceInternal}
		return a
	}
	granted := func(a *v1alpha1.Attachment, n *v1alpha1.Network, want ...string) {
		t.Helper()
		got, why := b.AcquireAttachment(a, n)
		if why != nil {
			t.Fatalf("%s: %s", a.Name, why.Message)
		}
		got.apply(a, n)
		if !slices.Equal(a.Status.LinkLocalAddresses, want) {
			t.Errorf("%s has %v, want %v", a.Name, a.Status.LinkLocalAddresses, want)
		}
	}
	refused := func(a *v1alpha1.Attachment, reason, says string) {
		t.Helper()
		_, why := b.AcquireAttachment(a, n)
		if why == nil || why.Reason != reason || !strings.Contains(why.Message, says) {
			t.Errorf("%s: %+v, want %s: %s", a.Name, why, reason, says)
		}
	}
	const mac1, mac2 = "02:00:00:00:00:01", "02:00:00:00:00:02"
	first := attachment("first", mac1, "169.254.8.8", "fe80:0::8")
	granted(first, n, "169.254.8.8/16", "fe80::8/64")
	granted(first, n, "169.254.8.8/16", "fe80::8/64") // again
	elsewhere := attachment("elsewhere", "", "169.254.8.8")
	elsewhere.Spec.Network = "other"
	granted(elsewhere, other, "169.254.8.8/16")

	refused(attachment("v4", "", "169.254.8.9", "169.254.8.8"), v1alpha1.ReasonAddressInUse, "spec.linkLocalAddresses[1]: 169.254.8.8 is held by attachment first")
	refused(attachment("v6", "", "fe80::0:8"), v1alpha1.ReasonAddressInUse, "spec.linkLocalAddresses[0]: fe80::8 is held by attachment first")
	refused(attachment("mac1", "", "fe80::ff:fe00:1"), v1alpha1.ReasonAddressInUse, "fe80::ff:fe00:1 is held by attachment first")
	refused(attachment("router", "", topology.LinkLocal(topology.RouterMAC("n")).String()), v1alpha1.ReasonAddressNotUsable, "that gateways have")
	granted(attachment("ahead", "", "fe80::ff:fe00:2", "169.254.8.9"), n, "fe80::ff:fe00:2/64", "169.254.8.9/16") // what was refused holds nothing
	refused(attachment("mac2", mac2), v1alpha1.ReasonMACInUse, "fe80::ff:fe00:2, which is held by attachment ahead")

	// A change that is refused leaves what was held; one that is granted gives back.
	refused(attachment("first", mac1, "169.254.8.9"), v1alpha1.ReasonAddressInUse, "held by attachment ahead")
	refused(attachment("v4", "", "169.254.8.8"), v1alpha1.ReasonAddressInUse, "held by attachment first")
	own := topology.LinkLocal(net.HardwareAddr{2, 0, 0, 0, 0, 1}).String()
	granted(attachment("first", mac1, own), n, own+"/64")
	granted(attachment("v4", "", "169.254.8.8"), n, "169.254.8.8/16")
	if got := b.AlsoHold([]netip.Prefix{netip.MustParsePrefix("169.254.8.8/16")}); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"elsewhere", "v4"}) {
		t.Errorf("169.254.8.8 is held by %v", got)
	}

	// Gone: who waits is told, and who has the same in another network.
	release := func(name string) []string {
		b.Woken()
		b.ReleaseAttachment(name)
		waiting, _ := b.Woken()
		return waiting
	}
	if waiting := release("ahead"); !slices.Contains(waiting, "mac2") {
		t.Errorf("woken: %v", waiting)
	}
	granted(attachment("mac2", mac2), n)
	if waiting := release("v4"); !slices.Contains(waiting, "elsewhere") {
		t.Errorf("woken: %v", waiting)
	}
	if waiting := release("first"); slices.Contains(waiting, "elsewhere") {
		t.Errorf("woken for nothing: %v", waiting)
	}
	for _, name := range []string{"mac2", "v6", "mac1", "router"} {
		b.ReleaseAttachment(name)
	}
	if got := b.networks["n"].linkLocals; len(got) != 0 {
		t.Errorf("held by nobody: %v", got)
	}
}

// What a status says is held again after a restart, before anything is granted.
func TestLinkLocalAddressesAreRestored(t *testing.T) {
	b := NewBook(func() ([]netip.Prefix, error) { return nil, nil })
	n := testNetwork(t, b, "n", "10.1.0.0/24")
	holder := &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: "holder", UID: "holder"}}
	holder.Spec.Network, holder.Spec.LinkLocalAddresses = "n", []string{"169.254.1.1"}
	holder.Status = v1alpha1.AttachmentStatus{MAC: "02:00:00:00:00:01", Addresses: []string{"10.1.0.2/24"}, LinkLocalAddresses: []string{"169.254.8.8/16"}}
	b.restoreAttachment(holder)
	for _, taken := range []string{"169.254.8.8", "fe80::ff:fe00:1"} {
		a := &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: "late", UID: "late"}}
		a.Spec.Network, a.Spec.LinkLocalAddresses = "n", []string{taken}
		if _, why := b.AcquireAttachment(a, n); why == nil || why.Reason != v1alpha1.ReasonAddressInUse {
			t.Errorf("%s: %+v", taken, why)
		}
	}
}
