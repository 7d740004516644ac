// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

func (s *Server) listNetworks(ctx context.Context, w http.ResponseWriter, r *call) error {
	f, err := listFilter(r.Form.Get("filters"))
	if err != nil {
		return err
	}
	selected := func(all []*dockerNetwork) []*dockerNetwork {
		return slices.DeleteFunc(all, func(n *dockerNetwork) bool { return !n.shown() || !f.selects(n) })
	}
	if !olderThan(r.version, "1.28") {
		all, err := s.networks(ctx)
		if err != nil {
			return err
		}
		out := [][]byte{}
		for _, n := range selected(all) {
			one, err := n.summarised()
			if err != nil {
				return err
			}
			out = append(out, one)
		}
		return writeList(w, out)
	}
	list, err := s.control.ListBridges(ctx, &controlpb.ListBridgesRequest{WithAttachments: true})
	if err != nil {
		return err
	}
	out := []network.Inspect{}
	for _, n := range selected(sorted(list.GetBridges(), true)) {
		i, err := s.inspected(ctx, n, false)
		if err != nil {
			return err
		}
		out = append(out, i)
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) inspected(ctx context.Context, n *dockerNetwork, withStatus bool) (network.Inspect, error) {
	out := network.Inspect{Network: n.Network, Containers: map[string]network.EndpointResource{}}
	switch {
	case n.complete:
		out.Containers = endpointsOf(n.attachments)
	case n.info != nil:
		on, err := s.attachments(ctx, n.info.GetNetworkId(), "")
		if err != nil {
			return out, err
		}
		out.Containers = endpointsOf(on)
	case s.engine != nil:
		endpoints, err := s.engine.Endpoints(ctx, n.Name)
		if err != nil {
			return out, err
		}
		out.Containers = endpoints
	}
	if withStatus {
		out.Status = ipamStatus(n, out.Containers)
	}
	return out, nil
}

func (s *Server) inspectNetwork(ctx context.Context, w http.ResponseWriter, r *call) error {
	query := r.URL.Query()
	if v := query.Get("verbose"); v != "" {
		if _, err := strconv.ParseBool(v); err != nil {
			return badRequest("invalid value for verbose: %s: %v", v, err)
		}
	}
	all, err := s.candidates(ctx, r.id, true)
	if err != nil {
		return err
	}
	scope := query.Get("scope")
	all = slices.DeleteFunc(all, func(n *dockerNetwork) bool { return !n.shown() || scope != "" && n.Scope != scope })
	n, err := match(all, r.id).shown(r.id)
	if err != nil {
		return err
	}
	out, err := s.inspected(ctx, n, !olderThan(r.version, "1.52"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) createNetwork(ctx context.Context, w http.ResponseWriter, r *call) error {
	var c network.CreateRequest
	if err := readJSON(w, r.Request, &c); err != nil {
		return err
	}
	if olderThan(r.version, "1.48") {
		c.EnableIPv4 = nil
	}
	if err := checkCreate(&c); err != nil {
		return err
	}
	// Two calls for one name are one after the other.
	unlock, err := s.names.lock(ctx, c.Name)
	if err != nil {
		return err
	}
	defer unlock()
	all, err := s.networks(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(n *dockerNetwork) bool { return n.Name == c.Name }) {
		return nameTaken(c.Name)
	}
	if err := checkKind(c); err != nil {
		return err
	}
	if from := configFrom(c); from != "" {
		i := slices.IndexFunc(all, func(n *dockerNetwork) bool { return n.Name == from && n.ConfigOnly })
		if i < 0 {
			return errorf(http.StatusNotFound, "configuration network %q does not exist", from)
		}
		c = configured(c, FactsOf(all[i].info))
	}
	id := newID()
	request, err := requestOf(id, c, factsOfRequest(c, time.Now()))
	if err != nil {
		return err
	}
	if err := checkBridgeName(id, c.Options, all); err != nil {
		return err
	}
	if err := s.makeNetwork(ctx, request, c.Name); err != nil {
		return err
	}
	s.events.awaitNetwork(ctx, id, true)
	return writeJSON(w, http.StatusCreated, network.CreateResponse{ID: id})
}

func nameTaken(name string) error {
	return errorf(http.StatusConflict, "network with name %s already exists", name)
}

// checkBridgeName refuses a name of a bridge that another network has. There is
// no such bridge; but clients find networks by it.
func checkBridgeName(id string, options map[string]string, all []*dockerNetwork) error {
	name := options[optionBridgeName]
	if name == "" {
		return nil
	}
	for _, n := range all {
		if n.Options[optionBridgeName] == name {
			return forbidden("cannot create network %s (%s): conflicts with network %s (%s): networks have same bridge name", id, name, n.ID, name)
		}
	}
	return nil
}

// makeNetwork has the network made. Names in DNS know no case, Docker's do: where
// another network has the name in DNS, this one goes without.
func (s *Server) makeNetwork(ctx context.Context, r *controlpb.CreateBridgeRequest, name string) error {
	_, err := s.control.CreateBridge(ctx, r)
	if reasonOf(err) == "NameConflict" && r.GetName() != "" {
		all, listErr := s.networks(ctx)
		if listErr != nil {
			return listErr
		}
		if slices.ContainsFunc(all, func(n *dockerNetwork) bool { return n.Name == name }) {
			return nameTaken(name)
		}
		r.Name = ""
		_, err = s.control.CreateBridge(ctx, r)
	}
	switch status.Code(err) {
	case codes.DeadlineExceeded, codes.Canceled, codes.Unavailable, codes.Internal, codes.Unknown:
		// It may be there nevertheless, and what is answered with an error must not.
		s.takeBack(ctx, r.GetNetworkId())
	}
	return createError(err)
}

func (s *Server) takeBack(ctx context.Context, network string) {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer done()
	if _, err := s.control.DeleteBridge(ctx, &controlpb.DeleteBridgeRequest{NetworkId: network}); err != nil {
		s.log.Error(err, "Taking back a network that could not be made", "network", network)
	}
}

func newID() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

func (s *Server) deleteNetwork(ctx context.Context, w http.ResponseWriter, r *call) error {
	n, err := s.find(ctx, r.id, "based on")
	if err != nil {
		return err
	}
	if err := s.removeNetwork(ctx, n); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) removeNetwork(ctx context.Context, n *dockerNetwork) error {
	if isPredefined(n.Name) {
		return forbidden("%s is a pre-defined network and cannot be removed", n.Name)
	}
	if n.ConfigOnly {
		all, err := s.networks(ctx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(o *dockerNetwork) bool { return o.ConfigFrom.Network == n.Name }) {
			return forbidden("error while removing network: configuration network %q is in use", n.Name)
		}
	}
	object := n.info.GetNetworkId()
	if err := s.checkUnused(ctx, n); err != nil {
		return err
	}
	_, err := s.control.DeleteBridge(ctx, &controlpb.DeleteBridgeRequest{NetworkId: object})
	if reasonOf(err) == "AttachmentsRemain" {
		if used := s.checkUnused(ctx, n); used != nil {
			return used
		}
	}
	if err != nil {
		code, message := statusOf(err)
		return errorf(code, "error while removing network: %s", message)
	}
	s.events.awaitNetwork(ctx, n.ID, false)
	return nil
}

// checkUnused refuses a network with endpoints, and names them.
func (s *Server) checkUnused(ctx context.Context, n *dockerNetwork) error {
	attachments, err := s.attachments(ctx, n.info.GetNetworkId(), "")
	if err != nil || len(attachments) == 0 {
		return err
	}
	var used []string
	for _, a := range attachments {
		used = append(used, fmt.Sprintf("name:%q id:%q", endpointName(a), EndpointID(a)[:12]))
	}
	return forbidden("error while removing network: network %s has active endpoints (%s)", n.Name, strings.Join(used, ", "))
}

func (s *Server) pruneNetworks(ctx context.Context, w http.ResponseWriter, r *call) error {
	f, err := pruneFilter(r.Form.Get("filters"))
	if err != nil {
		return err
	}
	if !s.pruning.TryLock() {
		return errorf(http.StatusConflict, "a prune operation is already running")
	}
	defer s.pruning.Unlock()
	all, err := s.networks(ctx)
	if err != nil {
		return err
	}
	var report network.PruneReport
	for _, n := range all {
		if n.ConfigOnly || isPredefined(n.Name) || !f.selects(n) {
			continue
		}
		if err := s.removeNetwork(ctx, n); err != nil {
			s.log.Error(err, "Not pruned", "network", n.Name)
			continue
		}
		report.NetworksDeleted = append(report.NetworksDeleted, n.Name)
	}
	s.events.log(events.Message{Type: events.NetworkEventType, Action: events.ActionPrune, Actor: events.Actor{Attributes: map[string]string{"reclaimed": "0"}}})
	return writeJSON(w, http.StatusOK, report)
}
