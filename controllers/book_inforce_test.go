// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

func noRoutes() ([]netip.Prefix, error) { return nil, nil }

// bookNetwork is a network that was made at a second of the test's time.
func bookNetwork(name string, second int, cidr string) *v1alpha1.Network {
	n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Generation: 1,
		CreationTimestamp: metav1.Unix(int64(second), 0)}}
	n.Spec.Subnets = []v1alpha1.Subnet{{CIDR: cidr}}
	return n
}

// bookAttachment is an attachment that was made at a second of the test's time.
func bookAttachment(name, network string, second int) *v1alpha1.Attachment {
	a := &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Generation: 1,
		CreationTimestamp: metav1.Unix(int64(second), 0)}}
	a.Spec.Network, a.Spec.Interface = network, v1alpha1.Interface{Type: v1alpha1.InterfaceInternal}
	return a
}

// accept has a book take objects, and writes to their status what the reconcilers do.
func accept(t *testing.T, b *Book, n *v1alpha1.Network, attachments ...*v1alpha1.Attachment) {
	t.Helper()
	granted, why := b.AcquireNetwork(n)
	if why != nil {
		t.Fatal(why.Message)
	}
	n.Status.Subnets = granted
	setCondition(n, v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted, "")
	for _, a := range attachments {
		grant, why := b.AcquireAttachment(a, n)
		if why != nil {
			t.Fatal(why.Message)
		}
		grant.apply(a, n)
		setCondition(a, v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted, "")
	}
}

// reloaded is a book as it is after a restart.
func reloaded(t *testing.T, objects ...client.Object) *Book {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	b := NewBook(noRoutes)
	if err := b.Load(t.Context(), fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()); err != nil {
		t.Fatal(err)
	}
	return b
}

// A book takes about as long for the hundredth attachment that waits as for the
// first, whatever each of them waits for. It was twice as long for each.
func TestManyRefusedWithPorts(t *testing.T) {
	b := NewBook(noRoutes)
	n := bookNetwork("n", 0, "10.1.0.0/29") // five are free
	accept(t, b, n)
	done := make(chan int)
	go func() {
		refused := 0
		for i := range 200 {
			a := bookAttachment(fmt.Sprintf("a%03d", i), "n", i)
			a.Spec.Ports = []v1alpha1.PublishedPort{{HostPort: int32(1000 + i), ContainerPort: 80}}
			if _, why := b.AcquireAttachment(a, n); why != nil {
				refused++
			}
		}
		done <- refused
	}()
	select {
	case refused := <-done:
		if refused != 195 {
			t.Errorf("%d are refused, want 195", refused)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("still busy after 30 s")
	}
}

// A change that was refused, or made while nobody looked, takes nothing from
// anybody at the next start, and does not let go of what the object holds.
func TestRestartWithRefusedChanges(t *testing.T) {
	for what, change := range map[string]func(n *v1alpha1.Network){
		"a gateway that an endpoint has": func(n *v1alpha1.Network) { n.Spec.Subnets[0].Gateway = "10.1.0.2" },
		"the broadcast address":          func(n *v1alpha1.Network) { n.Spec.Subnets[0].Gateway = "10.1.0.255" },
		"another's name":                 func(n *v1alpha1.Network) { n.Spec.DNSName = "Newer" },
		"another's range":                func(n *v1alpha1.Network) { n.Spec.Subnets[0].CIDR = "10.2.0.0/24" },
	} {
		for _, told := range []bool{true, false} {
			b := NewBook(noRoutes)
			older, newer := bookNetwork("older", 1, "10.1.0.0/24"), bookNetwork("newer", 2, "10.2.0.0/24")
			holds := bookAttachment("holds", "older", 3)
			accept(t, b, older, holds)
			accept(t, b, newer)
			change(older)
			older.Generation++
			if told {
				if _, why := b.AcquireNetwork(older); why == nil {
					t.Fatalf("%s: accepted", what)
				}
				older.Status.InForce = b.NetworkInForce(older)
				setCondition(older, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonSubnetInUse, "")
			}

			b = reloaded(t, older, newer, holds)
			third := bookNetwork("third", 9, "10.2.0.0/24")
			if _, why := b.AcquireNetwork(third); why == nil || why.Reason != v1alpha1.ReasonSubnetOverlap {
				t.Errorf("%s, told %v: newer's range is granted to a third: %v", what, told, why)
			}
			third = bookNetwork("third", 9, "10.1.0.128/25")
			if _, why := b.AcquireNetwork(third); why == nil || why.Reason != v1alpha1.ReasonSubnetOverlap {
				t.Errorf("%s, told %v: older's range is granted to a third: %v", what, told, why)
			}
			if _, why := b.AcquireNetwork(older); why == nil {
				t.Errorf("%s, told %v: accepted after a restart", what, told)
			}
			spec := b.NetworkInForce(older)
			if spec == nil || len(spec.Subnets) != 1 || spec.Subnets[0].CIDR != "10.1.0.0/24" || spec.DNSName == "Newer" {
				t.Errorf("%s, told %v: in force is %+v", what, told, spec)
			}
			if _, why := b.AcquireNetwork(newer); why != nil {
				t.Errorf("%s, told %v: newer: %s", what, told, why.Message)
			}
			if grant, why := b.AcquireAttachment(holds, older); why != nil || grant.addresses[0].String() != "10.1.0.2/24" {
				t.Errorf("%s, told %v: the endpoint: %v %v", what, told, grant, why)
			}
		}
	}
}

// The name that an attachment was refused stays its holder's over a restart.
func TestRestartWithRefusedContainerName(t *testing.T) {
	b := NewBook(noRoutes)
	n := bookNetwork("n", 1, "10.1.0.0/24")
	first, second := bookAttachment("first", "n", 2), bookAttachment("second", "n", 3)
	first.Spec.Container.Name, second.Spec.Container.Name = "web", "db"
	accept(t, b, n, first, second)
	first.Spec.Container.Name = "db"
	first.Generation++
	b = reloaded(t, n, first, second)
	if _, why := b.AcquireAttachment(first, n); why == nil || why.Reason != v1alpha1.ReasonNameConflict {
		t.Errorf("first: %v", why)
	}
	if _, why := b.AcquireAttachment(second, n); why != nil {
		t.Errorf("second: %s", why.Message)
	}
}

// What a change gives up wakes who waits for it, as what is deleted does.
func TestChangesWake(t *testing.T) {
	b := NewBook(noRoutes)
	n, other := bookNetwork("n", 1, "10.1.0.0/24"), bookNetwork("other", 2, "10.2.0.0/24")
	holds := bookAttachment("holds", "n", 3)
	holds.Spec.Addresses, holds.Spec.MAC, holds.Spec.Container.Name = []string{"10.1.0.9"}, "02:00:00:00:00:09", "web"
	holds.Spec.Ports = []v1alpha1.PublishedPort{{HostPort: 80, ContainerPort: 80}}
	accept(t, b, n, holds)
	accept(t, b, other)
	wants := map[string]func(a *v1alpha1.Attachment){
		"address": func(a *v1alpha1.Attachment) { a.Spec.Addresses = holds.Spec.Addresses },
		"mac":     func(a *v1alpha1.Attachment) { a.Spec.MAC = holds.Spec.MAC },
		"name":    func(a *v1alpha1.Attachment) { a.Spec.Container.Name = "web" },
		"port": func(a *v1alpha1.Attachment) {
			a.Spec.Network, a.Spec.Ports = "other", []v1alpha1.PublishedPort{{HostPort: 80, ContainerPort: 80}}
		},
	}
	for name, change := range wants {
		a := bookAttachment(name, "n", 4)
		change(a)
		in := n
		if a.Spec.Network == "other" {
			in = other
		}
		if _, why := b.AcquireAttachment(a, in); why == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	b.Woken()
	if _, why := b.AcquireAttachment(holds, n); why != nil {
		t.Fatal(why.Message)
	}
	if woken, _ := b.Woken(); len(woken) > 0 {
		t.Errorf("woken for nothing: %v", woken)
	}
	holds.Spec = bookAttachment("holds", "n", 3).Spec
	holds.Spec.MAC, holds.Spec.Addresses = "02:00:00:00:00:08", []string{"10.1.0.8"}
	if _, why := b.AcquireAttachment(holds, n); why != nil {
		t.Fatal(why.Message)
	}
	if woken, _ := b.Woken(); !slices.Equal(woken, []string{"address", "mac", "name", "port"}) {
		t.Errorf("woken: %v", woken)
	}

	// Who is granted something while another asks is told too.
	again := bookAttachment("again", "n", 9)
	again.Spec.Container.Name = "web"
	if _, why := b.AcquireAttachment(again, n); why == nil {
		t.Error("a younger one was first")
	}
	if woken, _ := b.Woken(); !slices.Contains(woken, "name") {
		t.Errorf("woken: %v", woken)
	}
}

// A network that gives up its name or its range wakes who waits for them, and so
// does one that is made anew under its name.
func TestChangedNetworksWake(t *testing.T) {
	b := NewBook(noRoutes)
	n := bookNetwork("n", 1, "10.1.0.0/24")
	n.Spec.DNSName = "web"
	accept(t, b, n)
	name, cidr := bookNetwork("name", 2, "10.2.0.0/24"), bookNetwork("range", 3, "10.1.0.0/25")
	name.Spec.DNSName = "WEB"
	for _, w := range []*v1alpha1.Network{name, cidr} {
		if _, why := b.AcquireNetwork(w); why == nil {
			t.Errorf("%s: accepted", w.Name)
		}
	}
	woken := func(what string) {
		t.Helper()
		if _, networks := b.Woken(); !slices.Equal(networks, []string{"name", "range"}) {
			t.Errorf("%s: woken: %v", what, networks)
		}
	}
	b.Woken()
	n.Spec.DNSName = "other"
	accept(t, b, n)
	woken("another name")
	n.Spec.Subnets[0].CIDR = "10.1.0.0/26"
	accept(t, b, n)
	woken("another range")
	n.UID = "anew"
	accept(t, b, n)
	woken("made anew")
}

// Ranges are the same in whatever order and form they are written.
func TestSameRanges(t *testing.T) {
	b := NewBook(noRoutes)
	n := bookNetwork("n", 1, "FD00:88::/64")
	n.Spec.Subnets = append(n.Spec.Subnets, v1alpha1.Subnet{CIDR: "10.1.0.0/24"})
	accept(t, b, n, bookAttachment("a", "n", 2))
	slices.Reverse(n.Spec.Subnets)
	n.Spec.Subnets[0].Reserved = []string{"10.1.0.9"}
	if _, why := b.AcquireNetwork(n); why != nil {
		t.Error(why.Message)
	}
}
