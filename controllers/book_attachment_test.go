// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// testNetwork is a network of one subnet in the book.
func testNetwork(t *testing.T, b *Book, name, cidr string) *v1alpha1.Network {
	t.Helper()
	n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}
	n.Spec.Subnets = []v1alpha1.Subnet{{CIDR: cidr}}
	granted, why := b.AcquireNetwork(n)
	if why != nil {
		t.Fatal(why.Message)
	}
	n.Status.Subnets = granted
	return n
}

// Who comes back with the MAC address that it asks for has the addresses that it
// had, also after the network has changed, unless somebody else asked for them.
func TestAddressesStayWithMAC(t *testing.T) {
	b := NewBook(func() ([]netip.Prefix, error) { return nil, nil })
	n := testNetwork(t, b, "n", "10.1.0.0/24")
	uid := 0
	attach := func(name, mac, asked, want string) {
		t.Helper()
		uid++
		a := &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(strconv.Itoa(uid))}}
		a.Spec.Network, a.Spec.MAC = "n", mac
		a.Spec.Interface = v1alpha1.Interface{Type: v1alpha1.InterfaceInternal}
		if asked != "" {
			a.Spec.Addresses = []string{asked}
		}
		got, why := b.AcquireAttachment(a, n)
		if why != nil {
			t.Fatal(why.Message)
		}
		if len(got.addresses) != 1 || got.addresses[0].Addr().String() != want {
			t.Errorf("%s has %v, want %s", name, got.addresses, want)
		}
	}
	const mac1, mac2 = "02:00:00:00:00:01", "02:00:00:00:00:02"
	attach("a", mac1, "", "10.1.0.2")
	attach("b", mac2, "", "10.1.0.3")
	attach("unnamed", "", "", "10.1.0.4")
	for _, name := range []string{"a", "b", "unnamed"} {
		b.ReleaseAttachment(name)
	}
	attach("unnamed", "", "", "10.1.0.5")
	attach("a", mac1, "", "10.1.0.2")
	b.ReleaseAttachment("a")

	n.Spec.Subnets[0].Reserved = []string{"10.1.0.9"}
	if _, why := b.AcquireNetwork(n); why != nil {
		t.Fatal(why.Message)
	}
	attach("a", mac1, "", "10.1.0.2")
	attach("c", "", "10.1.0.3", "10.1.0.3")
	attach("b", mac2, "", "10.1.0.4")
	// An address that was asked for is nobody's afterwards.
	b.ReleaseAttachment("b")
	attach("b", mac2, "10.1.0.8", "10.1.0.8")
	b.ReleaseAttachment("b")
	attach("b", mac2, "", "10.1.0.6")
	b.ReleaseAttachment("b")
	if len(b.networks["n"].left) != 2 {
		t.Errorf("remembered: %v", b.networks["n"].left)
	}
	for i := range 2 * maxLeft {
		b.networks["n"].leave(&attachmentEntry{mac: net.HardwareAddr{2, 1, 0, 0, byte(i >> 8), byte(i)}, returns: make([]netip.Prefix, 1)})
	}
	if got := len(b.networks["n"].left); got > maxLeft {
		t.Errorf("%d are remembered", got)
	}
}

// An interface that is given up is told to who waits for it, whatever network
// that is in.
func TestReleasedInterfaceWakesOtherNetworks(t *testing.T) {
	b := NewBook(func() ([]netip.Prefix, error) { return nil, nil })
	attachment := func(name, network, container string) *v1alpha1.Attachment {
		a := &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}
		a.Spec.Network, a.Spec.Container = network, v1alpha1.Container{ID: container, Name: container}
		a.Spec.Interface = v1alpha1.Interface{Type: v1alpha1.InterfaceVeth, Netns: "/run/netns/" + container}
		return a
	}
	one, two := testNetwork(t, b, "one", "10.1.0.0/24"), testNetwork(t, b, "two", "10.2.0.0/24")
	if _, why := b.AcquireAttachment(attachment("holds", "one", "c"), one); why != nil {
		t.Fatal(why.Message)
	}
	if _, why := b.AcquireAttachment(attachment("waits", "two", "c"), two); why == nil || why.Reason != v1alpha1.ReasonNameConflict {
		t.Fatalf("got %v, want a conflict of interface names", why)
	}
	b.Woken()
	b.ReleaseAttachment("holds")
	if waiting, _ := b.Woken(); !slices.Equal(waiting, []string{"waits"}) {
		t.Errorf("woken: %v, want [waits]", waiting)
	}
	if _, why := b.AcquireAttachment(attachment("waits", "two", "c"), two); why != nil {
		t.Error(why.Message)
	}
}
