// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"slices"
	"strings"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// networks are all of them, the predefined first.
func (s *Server) networks(ctx context.Context) ([]*dockerNetwork, error) {
	list, err := s.control.ListBridges(ctx, &controlpb.ListBridgesRequest{})
	if err != nil {
		return nil, err
	}
	out := special()
	for _, b := range list.GetBridges() {
		if b.GetDeleting() {
			continue
		}
		n := networkOf(b)
		if b.GetNetworkId() == BridgeNetwork {
			// They are there as long as the bridge.
			for _, predefined := range out[:2] {
				predefined.Created = n.Created
			}
		}
		out = append(out, n)
	}
	slices.SortStableFunc(out, func(a, b *dockerNetwork) int {
		if isPredefined(a.Name) != isPredefined(b.Name) {
			if isPredefined(a.Name) {
				return -1
			}
			return 1
		}
		if c := a.Created.Compare(b.Created); c != 0 && !isPredefined(a.Name) {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out, nil
}

// candidates are the networks that a term may be about, by full id, name or the
// beginning of an id. Where one is asked for by what it is called, the others
// are not read.
func (s *Server) candidates(ctx context.Context, term string) ([]*dockerNetwork, error) {
	one := &controlpb.ListBridgesRequest{}
	switch {
	case isID(term):
		one.NetworkId = term
	case dnsName.MatchString(term) && !isPredefined(term):
		one.Name = term
	default:
		return s.networks(ctx)
	}
	list, err := s.control.ListBridges(ctx, one)
	if err != nil {
		return nil, err
	}
	if b := list.GetBridges(); len(b) == 1 && !b[0].GetDeleting() {
		if n := networkOf(b[0]); n.ID == term || n.Name == term {
			return []*dockerNetwork{n}, nil
		}
	}
	return s.networks(ctx)
}

// matches are the networks that a term is about.
type matches struct{ byName, byID []*dockerNetwork }

// match compares all with a term. One whose id is the term is the only one.
func match(all []*dockerNetwork, term string) matches {
	var m matches
	for _, n := range all {
		if n.ID == term {
			return matches{byID: []*dockerNetwork{n}}
		}
		if n.Name == term {
			m.byName = append(m.byName, n)
		}
		if strings.HasPrefix(n.ID, term) {
			m.byID = append(m.byID, n)
		}
	}
	return m
}

// unique is the network that is meant. Two ways to say that there are several
// are the engine's own: one for calls that change something, one for connecting.
func (m matches) unique(term, several string) (*dockerNetwork, error) {
	switch {
	case len(m.byName) == 1:
		return m.byName[0], nil
	case len(m.byName) > 1:
		return nil, badRequest("network %s is ambiguous (%d matches found %s name)", term, len(m.byName), several)
	case len(m.byID) == 1:
		return m.byID[0], nil
	case len(m.byID) > 1:
		return nil, badRequest("network %s is ambiguous (%d matches found based on ID prefix)", term, len(m.byID))
	}
	return nil, noSuchNetwork(term)
}

// shown is the network that is to be inspected, for which the engine has words
// of its own again.
func (m matches) shown(term string) (*dockerNetwork, error) {
	switch {
	case len(m.byName) > 1:
		return nil, badRequest("%d matches found based on name: network %s is ambiguous", len(m.byName), term)
	case len(m.byName) == 0 && len(m.byID) > 1:
		return nil, badRequest("%d matches found based on ID prefix: network %s is ambiguous", len(m.byID), term)
	}
	return m.unique(term, "based on")
}

// find is the network that a call is about.
func (s *Server) find(ctx context.Context, term, several string) (*dockerNetwork, error) {
	all, err := s.candidates(ctx, term)
	if err != nil {
		return nil, err
	}
	return match(all, term).unique(term, several)
}

// attachments are those of a network, or of a container, or of both.
func (s *Server) attachments(ctx context.Context, network, container string) ([]*controlpb.ContainerNetwork, error) {
	list, err := s.control.GetContainerNetworks(ctx, &controlpb.GetContainerNetworksRequest{NetworkId: network, ContainerId: container})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.GetNetworks(), func(a *controlpb.ContainerNetwork) bool { return a.GetDeleting() }), nil
}
