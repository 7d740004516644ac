// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/pkg/docker"
	"github.com/vas-solutus/arca-network/pkg/docker/plugin"
)

// Action is what becomes of a network.
type Action string

// Actions, in the order in which they are shown.
const (
	// Conflict: it cannot be declared.
	Conflict Action = "conflict"
	// Create: it is declared.
	Create Action = "create"
	// Exists: it is there already, by its id.
	Exists Action = "exists"
	// Skip: it is one that every host has of its own, or no network of the engine's.
	Skip Action = "skip"
)

var order = []Action{Conflict, Create, Exists, Skip}

// Item is a network and what becomes of it.
type Item struct {
	Name    string   `json:"name"`
	ID      string   `json:"id"`
	Driver  string   `json:"driver"`
	Subnets []string `json:"subnets,omitempty"`
	Action  Action   `json:"action"`
	// Why there is a conflict.
	Why []string `json:"why,omitempty"`
	// Notes are what will not be as it was.
	Notes []string `json:"notes,omitempty"`

	request *controlpb.CreateBridgeRequest
}

// Plan decides what becomes of networks, where some exist. The conflicts come
// first. One that comes from a configuration has its settings already, and does not
// need it.
func Plan(sources []Source, existing []*controlpb.BridgeInfo) []Item {
	taken := occupied(existing)
	var items []Item
	seen := map[string]bool{}
	for _, s := range sources {
		if seen[s.ID] {
			continue // listed twice is asked once
		}
		seen[s.ID] = true
		items = append(items, taken.decide(s))
	}
	slices.SortStableFunc(items, func(a, b Item) int {
		return slices.Index(order, a.Action) - slices.Index(order, b.Action)
	})
	return items
}

// occupation is what names, ids and ranges are in use, and by whom.
type occupation struct {
	ids      map[string]bool
	names    map[string]string // by name, whose: an id
	subnets  map[netip.Prefix]string
	prefixes []netip.Prefix
}

func occupied(existing []*controlpb.BridgeInfo) *occupation {
	o := &occupation{ids: map[string]bool{}, names: map[string]string{}, subnets: map[netip.Prefix]string{}}
	for _, b := range existing {
		id, facts := docker.NetworkID(b), docker.FactsOf(b)
		o.ids[id] = true
		o.names[facts.Name], o.names[b.GetName()] = id, id
		for _, s := range b.GetSubnets() {
			if p, err := netip.ParsePrefix(s.GetCidr()); err == nil {
				o.take(p, "network "+facts.Name)
			}
		}
	}
	return o
}

func (o *occupation) take(p netip.Prefix, by string) {
	o.subnets[p] = by
	o.prefixes = append(o.prefixes, p)
}

// decide what becomes of a network, and count it as there if it will be.
func (o *occupation) decide(s Source) Item {
	r := s.Request
	item := Item{Name: r.Name, ID: s.ID, Driver: r.Driver}
	var subnets []netip.Prefix
	if r.IPAM != nil {
		for _, c := range r.IPAM.Config {
			subnets = append(subnets, c.Subnet)
			item.Subnets = append(item.Subnets, c.Subnet.String())
		}
	}
	switch {
	case docker.IsPredefined(r.Name):
		item.Action = Skip
		return item
	case r.Options[plugin.OptionNetwork] != "":
		item.Action = Skip
		item.Notes = []string{"stands in the engine for network " + short(r.Options[plugin.OptionNetwork]) + " of arca-network"}
		return item
	case o.ids[s.ID]:
		item.Action = Exists
		return item
	}
	conflict := func(format string, args ...any) { item.Why = append(item.Why, fmt.Sprintf(format, args...)) }
	if !docker.IsID(s.ID) {
		conflict("id %s: must be 64 hexadecimal digits", s.ID)
	}
	if other, ok := o.names[r.Name]; ok {
		conflict("name %s is taken by network %s", r.Name, short(other))
	}
	if !slices.Contains(docker.Drivers(), r.Driver) && !r.ConfigOnly {
		conflict("driver %s is not supported; %s are", r.Driver, strings.Join(docker.Drivers(), ", "))
	}
	if s.Brief && r.Driver == "arca" {
		conflict("a list does not tell whether it stands for a network of arca-network; import what docker network inspect writes")
	}
	if r.Scope != "" {
		conflict("scope %s is not supported; local is", r.Scope)
	}
	if !r.ConfigOnly {
		for _, p := range subnets {
			for _, q := range o.prefixes {
				if p.Overlaps(q) {
					conflict("subnet %s overlaps with %s of %s", p, q, o.subnets[q])
				}
			}
		}
	}
	if len(item.Why) == 0 {
		var err error
		if item.request, err = docker.Declare(s.ID, r, s.Created); err != nil {
			conflict("%v", err)
		}
	}
	if len(item.Why) > 0 {
		item.Action = Conflict
		return item
	}
	item.Action = Create
	item.Notes = notes(s)
	o.ids[s.ID], o.names[r.Name] = true, s.ID
	if !r.ConfigOnly {
		for _, p := range subnets {
			o.take(p, "network "+r.Name+", which is imported too")
		}
	}
	return item
}

// notes are what a network will not have of what it had.
func notes(s Source) (out []string) {
	if s.Brief {
		out = append(out, "subnets and options are not in a list: a subnet is chosen; import what docker network inspect writes to keep them")
	}
	for _, key := range docker.WithoutCounterpart(s.Request.Options) {
		out = append(out, fmt.Sprintf("option %s=%s is kept and shown, but has no effect", key, s.Request.Options[key]))
	}
	return out
}

// short is an id as people read it.
func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}
