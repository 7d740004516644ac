// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"cmp"
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// CreateBridge makes a network.
func (s *Server) CreateBridge(ctx context.Context, r *controlpb.CreateBridgeRequest) (*controlpb.CreateBridgeResponse, error) {
	want, fields, wrong := networkOf(r)
	if err := s.refuseInvalid(ctx, want, fields, wrong); err != nil {
		return nil, err
	}
	sub := s.hub.subscribe(kindNetwork, want.Name)
	defer sub.close()
	have := &v1alpha1.Network{}
	made, err := s.create(ctx, sub, marked(want), have)
	if err != nil {
		return nil, apiError(ctx, err, fields)
	}
	if !made {
		// What is compared may still be chosen: wait for it first.
		if diff := compareNetwork(want, r, have, fields); len(diff) > 0 && len(have.Status.Subnets) > 0 {
			return nil, different(have, diff)
		}
	}
	ready, err := s.settle(ctx, sub, have, v1alpha1.ConditionProgrammed, fields)
	if isRefusal(err) {
		s.takeBack(ctx, sub, want, have, made)
	}
	if err != nil {
		return nil, apiError(ctx, err, fields)
	}
	if !made {
		if diff := compareNetwork(want, r, ready.(*v1alpha1.Network), fields); len(diff) > 0 {
			return nil, different(have, diff)
		}
	}
	return createBridgeResponse(ready.(*v1alpha1.Network)), nil
}

// isRefusal tells whether an error says that an object will not be: then it must
// not stay either. A call that ran out of time leaves its object at work.
func isRefusal(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.ResourceExhausted:
		return true
	}
	return false
}

// refuseInvalid refuses an object whose request is wrong, or that the API would
// refuse by itself.
func (s *Server) refuseInvalid(ctx context.Context, o object, fields fieldMap, wrong []violation) error {
	more, err := s.schema.check(ctx, o, fields)
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return invalid(merge(wrong, more))
}

// merge leaves out what the schema says of a field that is wrong already: a
// field that was not given has no form.
func merge(wrong, more []violation) []violation {
	own := len(wrong)
	for _, v := range more {
		if !slices.ContainsFunc(wrong[:own], func(w violation) bool { return within(v.field, w.field) }) {
			wrong = append(wrong, v)
		}
	}
	return wrong
}

// within tells whether a path is another or a part of it.
func within(path, other string) bool {
	return path == other || len(path) > len(other) && path[:len(other)] == other && (path[len(other)] == '.' || path[len(other)] == '[')
}

// DeleteBridge deletes a network and the rules that were set for it.
func (s *Server) DeleteBridge(ctx context.Context, r *controlpb.DeleteBridgeRequest) (*controlpb.DeleteBridgeResponse, error) {
	id := r.GetNetworkId()
	if err := invalid(checkID("network_id", id)); err != nil {
		return nil, err
	}
	existed, err := s.deleteNetwork(ctx, id)
	if err == nil {
		err = s.deleteRules(ctx, id)
	}
	if err != nil {
		return nil, apiError(ctx, err, nil)
	}
	return &controlpb.DeleteBridgeResponse{Existed: existed}, nil
}

func (s *Server) deleteNetwork(ctx context.Context, id string) (existed bool, err error) {
	sub := s.hub.subscribe(kindNetwork, id)
	defer sub.close()
	unlock, err := s.locks.write(ctx, "network/"+id)
	if err != nil {
		return false, err
	}
	defer unlock()
	n := &v1alpha1.Network{}
	if err := s.api.Get(ctx, client.ObjectKey{Name: id}, n); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	containers, err := s.containersOn(ctx, id)
	if err != nil {
		return true, err
	}
	if len(containers) > 0 {
		return true, inUse(n, containers, "detach them first")
	}
	uid := n.GetUID()
	err = s.api.Delete(ctx, n, client.Preconditions{UID: &uid})
	if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
		return true, err
	}
	unlock()
	return true, s.awaitDeleted(ctx, sub, n)
}

// containersOn are the containers attached to a network that are not about to
// go, by their id or else by the attachment's name.
func (s *Server) containersOn(ctx context.Context, network string) ([]string, error) {
	var list v1alpha1.AttachmentList
	if err := s.cache.List(ctx, &list, client.MatchingFields{byNetwork: network}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	return containersOf(pointers(list.Items)), nil
}

func pointers[T any](items []T) (out []*T) {
	for i := range items {
		out = append(out, &items[i])
	}
	return out
}

// containersOf are the containers of attachments that are not about to go.
func containersOf(attachments []*v1alpha1.Attachment) (out []string) {
	for _, a := range attachments {
		if a.DeletionTimestamp.IsZero() {
			out = append(out, cmp.Or(a.Spec.Container.ID, a.Name))
		}
	}
	slices.Sort(out)
	return out
}

// byNetworkOf are the attachments to some networks, by network. Where it is more
// than one, all that there are are read at once.
func (s *Server) byNetworkOf(ctx context.Context, networks []v1alpha1.Network) (map[string][]*v1alpha1.Attachment, error) {
	options := []client.ListOption{client.UnsafeDisableDeepCopy}
	switch len(networks) {
	case 0:
		return nil, nil
	case 1:
		options = append(options, client.MatchingFields{byNetwork: networks[0].Name})
	}
	var list v1alpha1.AttachmentList
	if err := s.cache.List(ctx, &list, options...); err != nil {
		return nil, err
	}
	out := map[string][]*v1alpha1.Attachment{}
	for i := range list.Items {
		a := &list.Items[i]
		out[a.Spec.Network] = append(out[a.Spec.Network], a)
	}
	return out, nil
}

// storeAnswers asks the store for an object, there or not. The cache has all that
// this server has acknowledged, and is what reads are answered from: it costs the
// store nothing, however much there is. But it would go on answering while
// the store is down, and nobody could tell.
// It is asked again after a moment, for a client seldom has one question alone.
func (s *Server) storeAnswers(ctx context.Context) error {
	if asked := s.answered.Load(); asked != nil && time.Since(*asked) < answerHolds {
		return nil
	}
	asked := time.Now()
	err := client.IgnoreNotFound(s.api.Get(ctx, client.ObjectKey{Name: "any"}, &v1alpha1.Network{}))
	if err == nil {
		s.answered.Store(&asked)
	}
	return err
}

// answerHolds is how long a store that has answered is taken to be there.
const answerHolds = 50 * time.Millisecond

// ListBridges lists networks from the cache.
func (s *Server) ListBridges(ctx context.Context, r *controlpb.ListBridgesRequest) (*controlpb.ListBridgesResponse, error) {
	wrong := checkManager("manager", r.GetManager())
	if r.GetNetworkId() != "" {
		wrong = append(wrong, checkID("network_id", r.GetNetworkId())...)
	}
	if err := invalid(wrong); err != nil {
		return nil, err
	}
	if err := s.storeAnswers(ctx); err != nil {
		return nil, apiError(ctx, err, nil)
	}
	// The version first: what changes while the rest is read makes another.
	out := &controlpb.ListBridgesResponse{Version: s.hub.version()}
	if out.Unchanged = out.Version == r.GetUnless(); out.Unchanged {
		return out, nil
	}
	list, err := s.listed(ctx, r)
	if err != nil {
		return nil, apiError(ctx, err, nil)
	}
	on, err := s.byNetworkOf(ctx, list)
	if err != nil {
		return nil, apiError(ctx, err, nil)
	}
	for i := range list {
		b := bridgeInfo(&list[i])
		b.Containers = containersOf(on[b.NetworkId])
		if r.GetWithAttachments() {
			for _, a := range on[b.NetworkId] {
				b.Attachments = append(b.Attachments, containerNetwork(a))
			}
			slices.SortFunc(b.Attachments, func(a, b *controlpb.ContainerNetwork) int { return compareStrings(a.Name, b.Name) })
		}
		out.Bridges = append(out.Bridges, b)
	}
	slices.SortFunc(out.Bridges, func(a, b *controlpb.BridgeInfo) int { return compareStrings(a.NetworkId, b.NetworkId) })
	return out, nil
}

// listed are the networks that a request asks for.
func (s *Server) listed(ctx context.Context, r *controlpb.ListBridgesRequest) ([]v1alpha1.Network, error) {
	options := []client.ListOption{client.UnsafeDisableDeepCopy}
	if r.GetManager() != "" {
		options = append(options, client.MatchingLabels{ManagerLabel: r.GetManager()})
	}
	if r.GetName() != "" {
		options = append(options, client.MatchingFields{byName: r.GetName()})
	}
	if r.GetNetworkId() == "" {
		var list v1alpha1.NetworkList
		err := s.cache.List(ctx, &list, options...)
		return list.Items, err
	}
	var n v1alpha1.Network
	err := s.cache.Get(ctx, client.ObjectKey{Name: r.GetNetworkId()}, &n)
	if apierrors.IsNotFound(err) ||
		r.GetManager() != "" && r.GetManager() != n.Labels[ManagerLabel] || r.GetName() != "" && r.GetName() != n.EffectiveDNSName() {
		return nil, client.IgnoreNotFound(err)
	}
	return []v1alpha1.Network{n}, err
}
