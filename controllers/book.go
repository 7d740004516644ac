// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ipam"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// Refusal is why an object is not accepted.
type Refusal struct {
	// Reason is one of the reasons of condition Accepted.
	Reason string
	// Message names the field, the value and what is allowed.
	Message string
}

// Book holds who has which subnet, address, MAC and name. It is filled from
// the objects' status at the start and is ahead of the API from then on: a
// grant is entered before it is written to a status, so that two reconcilers
// never grant one thing twice. It does no I/O after Load.
//
// What an object holds it keeps. Of the objects that wait for the same thing
// the oldest gets it.
type Book struct {
	mu     sync.Mutex
	loaded bool

	hostRoutes func() ([]netip.Prefix, error)

	networks map[string]*networkEntry
	subnets  *ipam.PrefixSet
	names    map[string]string // DNS name, in lower case → network
	refused  map[string]*v1alpha1.Network

	attachments map[string]*attachmentEntry
	interfaces  map[string]string // place of an interface → attachment
	ports       map[hostPort][]portHolder
	wantPorts   map[string]*v1alpha1.Attachment // refused ones with ports
	woken       woken
	// node is the host that attachments without one are on.
	node string
}

// NewBook returns an empty book. hostRoutes gives the ranges that this host
// routes elsewhere; no subnet is chosen from them.
func NewBook(hostRoutes func() ([]netip.Prefix, error)) *Book {
	b := &Book{
		hostRoutes:  hostRoutes,
		networks:    map[string]*networkEntry{},
		subnets:     ipam.NewPrefixSet(),
		names:       map[string]string{},
		refused:     map[string]*v1alpha1.Network{},
		attachments: map[string]*attachmentEntry{},
		interfaces:  map[string]string{},
		ports:       map[hostPort][]portHolder{},
		wantPorts:   map[string]*v1alpha1.Attachment{},
		woken:       woken{attachments: map[string]bool{}, networks: map[string]bool{}},
	}
	return b
}

// Load enters what the objects' status says, once. Reconcilers call it first;
// by then their caches are filled.
func (b *Book) Load(ctx context.Context, c client.Reader) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.loaded {
		return nil
	}
	var networks v1alpha1.NetworkList
	if err := c.List(ctx, &networks); err != nil {
		return fmt.Errorf("listing networks: %w", err)
	}
	var attachments v1alpha1.AttachmentList
	if err := c.List(ctx, &attachments, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing attachments: %w", err)
	}
	// Those first of which it is known what is in force: a change that was made
	// meanwhile takes nothing from anybody.
	for _, n := range decidedFirst[v1alpha1.Network](networks.Items) {
		if len(n.Status.Subnets) > 0 {
			b.restoreNetwork(n)
		}
	}
	for _, a := range decidedFirst[v1alpha1.Attachment](attachments.Items) {
		if len(a.Status.Addresses) > 0 {
			b.restoreAttachment(a)
		}
	}
	b.loaded = true
	return nil
}

// decided tells that the status of an object says which spec is in force.
func decided(o conditioned) bool {
	switch o := o.(type) {
	case *v1alpha1.Network:
		return o.Status.InForce != nil || isTrue(o, v1alpha1.ConditionAccepted)
	case *v1alpha1.Attachment:
		return o.Status.InForce != nil || isTrue(o, v1alpha1.ConditionAccepted)
	}
	return false
}

// decidedFirst points to objects, those that are decided first, and of them and
// of the others the oldest first.
func decidedFirst[T any, P interface {
	*T
	conditioned
}](items []T) []P {
	out := byAge[T, P](items)
	slices.SortStableFunc(out, func(x, y P) int {
		switch a, b := decided(x), decided(y); {
		case a == b:
			return 0
		case a:
			return -1
		}
		return 1
	})
	return out
}

// woken are objects that may have now what they waited for.
type woken struct{ attachments, networks map[string]bool }

// Woken names the attachments and networks that may have now what they waited
// for: what was granted, changed or released since the last call has freed it.
func (b *Book) Woken() (attachments, networks []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	attachments, networks = slices.Sorted(maps.Keys(b.woken.attachments)), slices.Sorted(maps.Keys(b.woken.networks))
	clear(b.woken.attachments)
	clear(b.woken.networks)
	return attachments, networks
}

func (b *Book) wakeAttachments(names ...string) {
	for _, name := range names {
		b.woken.attachments[name] = true
	}
}

func (b *Book) wakeNetworks(names ...string) {
	for _, name := range names {
		b.woken.networks[name] = true
	}
}

// byAge points to objects, the oldest first.
func byAge[T any, P interface {
	*T
	metav1.Object
}](items []T) []P {
	out := make([]P, len(items))
	for i := range items {
		out[i] = &items[i]
	}
	slices.SortFunc(out, func(x, y P) int { return older(x, y) })
	return out
}

// older orders objects by age; those of one second by name.
func older(x, y metav1.Object) int {
	xt, yt := x.GetCreationTimestamp(), y.GetCreationTimestamp()
	if xt.Equal(&yt) {
		return cmp.Compare(x.GetName(), y.GetName())
	}
	if xt.Before(&yt) {
		return -1
	}
	return 1
}

// reservedRanges are what no network may overlap.
var reservedRanges = map[string]netip.Prefix{
	"the join range of the router and the host":      netip.MustParsePrefix(topology.JoinCIDR),
	"the IPv6 join range of the router and the host": netip.MustParsePrefix(topology.JoinCIDR6),
}
