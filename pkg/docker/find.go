// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// networks are all of them, the predefined first. The control API is asked each
// time, but it need not repeat what it has said.
func (s *Server) networks(ctx context.Context) ([]*dockerNetwork, error) {
	version, known := s.said.get()
	list, err := s.control.ListBridges(ctx, &controlpb.ListBridgesRequest{Unless: version})
	if err != nil {
		return nil, err
	}
	if !list.GetUnchanged() {
		known = sorted(list.GetBridges(), false)
		s.said.put(list.GetVersion(), known)
	}
	return slices.Clone(known), nil
}

// answer is the last answer about all networks.
type answer struct {
	mu       sync.Mutex
	version  string
	networks []*dockerNetwork
}

func (a *answer) get() (version string, networks []*dockerNetwork) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.version, a.networks
}

func (a *answer) put(version string, networks []*dockerNetwork) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version, a.networks = version, networks
}

// sorted are networks as Docker lists them, with the predefined; complete says
// that their attachments are told too.
func sorted(bridges []*controlpb.BridgeInfo, complete bool) []*dockerNetwork {
	out := special()
	for _, b := range bridges {
		if b.GetDeleting() {
			continue
		}
		n := networkOf(b)
		n.attachments, n.complete = b.GetAttachments(), complete
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
	return out
}

// Lister lists networks of the control API.
type Lister interface {
	ListBridges(context.Context, *controlpb.ListBridgesRequest, ...grpc.CallOption) (*controlpb.ListBridgesResponse, error)
}

// Named is the network whose full id or name a term is, with its attachments if
// so asked. It is nil where that cannot be told without a look at all of them, as
// where the term is the beginning of an id.
func Named(ctx context.Context, from Lister, term string, withAttachments bool) (*controlpb.BridgeInfo, error) {
	one := &controlpb.ListBridgesRequest{WithAttachments: withAttachments}
	switch {
	case isID(term), term == BridgeNetwork:
		one.NetworkId = term
	case dnsName.MatchString(term) && !isPredefined(term):
		one.Name = term
	default:
		return nil, nil
	}
	list, err := from.ListBridges(ctx, one)
	if err != nil {
		return nil, err
	}
	if b := list.GetBridges(); len(b) == 1 && !b[0].GetDeleting() && (NetworkID(b[0]) == term || FactsOf(b[0]).Name == term) {
		return b[0], nil
	}
	return nil, nil
}

// candidates are the networks that a term may be about, by full id, name or the
// beginning of an id. Where one is asked for by what it is called, the others
// are not read.
func (s *Server) candidates(ctx context.Context, term string, withAttachments bool) ([]*dockerNetwork, error) {
	one, err := Named(ctx, s.control, term, withAttachments)
	if err != nil {
		return nil, err
	}
	if one == nil {
		return s.networks(ctx)
	}
	n := networkOf(one)
	n.attachments, n.complete = one.GetAttachments(), withAttachments
	return []*dockerNetwork{n}, nil
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
	all, err := s.candidates(ctx, term, false)
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
