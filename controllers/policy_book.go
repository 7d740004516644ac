// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"maps"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/policy"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// PolicyBook is what attachments have to know of policies: which selectors
// there are, so that an endpoint puts its addresses into their sets in the
// transaction that makes its port; and which networks have ACLs that must be
// there before the port is. Everything in it follows from objects.
type PolicyBook struct {
	mu        sync.Mutex
	loaded    bool
	selectors map[string]policy.Selector
	subjects  map[string]bool
	places    map[string][]string // networks with selected endpoints, by key
	networks  map[string]bool
	// edition counts what was published.
	edition int
	// joining are the attachments that are to join a selector's sets yet, with
	// the edition since which they are.
	joining map[string]map[string]int
	// waiting are the attachments to look at once the rows are written.
	waiting map[string]bool
	// distrusted: somebody else changed a row, and may have taken addresses out.
	distrusted bool
}

// NewPolicyBook returns an empty book.
func NewPolicyBook() *PolicyBook {
	return &PolicyBook{joining: map[string]map[string]int{}, waiting: map[string]bool{}}
}

// Load fills the book once. No attachment is written before: without it an
// endpoint would leave the sets that it is in.
func (b *PolicyBook) Load(ctx context.Context, c client.Reader) error {
	b.mu.Lock()
	loaded := b.loaded
	b.mu.Unlock()
	if loaded {
		return nil
	}
	s, err := takePolicySnapshot(ctx, c)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.loaded {
		b.enter(s)
	}
	return nil
}

func (b *PolicyBook) enter(s *policySnapshot) {
	b.loaded = true
	b.selectors, b.subjects, b.places, b.networks = s.selectors, s.subjects, s.survey.Selected, s.program.Networks
}

// Publish enters a snapshot whose rows are to be written next. Attachments
// that have to join sets, or to leave some, wait until then.
func (b *PolicyBook) Publish(s *policySnapshot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	changed, added := map[string]policy.Selector{}, map[string]bool{}
	if b.loaded {
		for key, selector := range s.selectors {
			if _, known := b.selectors[key]; !known || s.subjects[key] != b.subjects[key] {
				changed[key], added[key] = selector, true
			}
		}
		for key, selector := range b.selectors {
			if _, stays := s.selectors[key]; !stays {
				changed[key] = selector
				delete(b.joining, key)
			}
		}
	}
	if b.distrusted {
		maps.Copy(changed, s.selectors)
		b.distrusted = false
	}
	b.enter(s)
	b.edition++
	for i := range s.attachments {
		a := &s.attachments[i]
		for key, selector := range changed {
			if !selector.Matches(labels.Set(a.Labels)) {
				continue
			}
			b.waiting[a.Name] = true
			if added[key] {
				if b.joining[key] == nil {
					b.joining[key] = map[string]int{}
				}
				b.joining[key][a.Name] = b.edition
			}
		}
	}
}

// Place is where an attachment's endpoint belongs.
type Place struct {
	Members []ovnsync.Member
	Needs   []ovnsync.Reference
	// News tells that policies have to be looked at again: it is the first in
	// its network that some selector selects.
	News    bool
	edition int
}

// enter makes an attachment's rows, of which the port is the first, belong there.
func (p Place) enter(rows []ovnsync.Row) {
	rows[0].Members, rows[0].Needs = append(rows[0].Members, p.Members...), p.Needs
}

// Place returns the sets that an attachment's endpoint belongs into and the
// rows that must be there before its port.
func (b *PolicyBook) Place(a *v1alpha1.Attachment, network *v1alpha1.Network) Place {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := Place{edition: b.edition}
	if b.networks[network.Name] {
		out.Needs = append(out.Needs, policy.Gate(network.Name))
	}
	if len(b.selectors) == 0 {
		return out
	}
	addresses := endpointAddresses(a)
	for _, key := range slices.Sorted(maps.Keys(b.selectors)) {
		if !b.selectors[key].Matches(labels.Set(a.Labels)) {
			continue
		}
		out.News = out.News || !slices.Contains(b.places[key], network.Name)
		for _, address := range addresses {
			out.Members = append(out.Members, policy.Memberships(key, string(network.UID), b.subjects[key], address)...)
		}
	}
	return out
}

// endpointAddresses are all addresses that port security lets an endpoint use.
func endpointAddresses(a *v1alpha1.Attachment) []string {
	var out []string
	add := func(address netip.Addr) {
		if s := address.String(); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for _, s := range slices.Concat(a.Status.Addresses, a.Status.LinkLocalAddresses) {
		if p, err := netip.ParsePrefix(s); err == nil {
			add(p.Addr())
		}
	}
	if mac, err := net.ParseMAC(a.Status.MAC); err == nil {
		add(topology.LinkLocal(mac))
	}
	return out
}

// Distrust makes every selected attachment be looked at after the next writing.
func (b *PolicyBook) Distrust() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.distrusted = true
}

// Stale tells whether policies were published after a place was asked for.
func (b *PolicyBook) Stale(p Place) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return p.edition != b.edition
}

// Await notes that an attachment waits for rows of policies.
func (b *PolicyBook) Await(attachment string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting[attachment] = true
}

// Written returns the attachments that waited for rows.
func (b *PolicyBook) Written() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := slices.Sorted(maps.Keys(b.waiting))
	clear(b.waiting)
	return out
}

// Joined notes that an attachment is where it belongs, as of a place that was
// asked for before. complete tells that nobody is missing in some selector's
// sets any longer.
func (b *PolicyBook) Joined(attachment string, p Place) (complete bool) {
	return b.settle(attachment, p.edition)
}

// Left notes that an attachment is no more.
func (b *PolicyBook) Left(attachment string) (complete bool) {
	return b.settle(attachment, math.MaxInt)
}

func (b *PolicyBook) settle(attachment string, edition int) (complete bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, names := range b.joining {
		if since, is := names[attachment]; is && since <= edition {
			delete(names, attachment)
		}
		if len(names) == 0 {
			delete(b.joining, key)
			complete = true
		}
	}
	return complete
}

// Missing tells how many endpoints have not joined the sets of a policy yet.
func (b *PolicyBook) Missing(p *v1alpha1.Policy) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for key := range policy.Selectors(p) {
		n += len(b.joining[key])
	}
	return n
}
