// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"fmt"
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
	names    map[string]string // DNS name → network
	refused  map[string]*v1alpha1.Network

	attachments map[string]*attachmentEntry
	interfaces  map[string]string // place of an interface → attachment
	ports       map[hostPort][]portHolder
	wantPorts   map[string]*v1alpha1.Attachment // refused ones with ports
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
	byName := map[string]*v1alpha1.Network{}
	for _, n := range byAge[v1alpha1.Network](networks.Items) {
		byName[n.Name] = n
		if len(n.Status.Subnets) > 0 {
			b.restoreNetwork(n)
		}
	}
	for _, a := range byAge[v1alpha1.Attachment](attachments.Items) {
		if n := byName[a.Spec.Network]; n != nil && len(a.Status.Addresses) > 0 {
			b.restoreAttachment(a)
		}
	}
	b.loaded = true
	return nil
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
