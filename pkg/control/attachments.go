// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

func compareStrings(a, b string) int { return strings.Compare(a, b) }

// AttachContainer connects a container to a network.
func (s *Server) AttachContainer(ctx context.Context, r *controlpb.AttachContainerRequest) (*controlpb.AttachContainerResponse, error) {
	want, fields, wrong := attachmentOf(r)
	if err := s.refuseInvalid(ctx, want, fields, wrong); err != nil {
		return nil, err
	}
	sub := s.hub.subscribe(kindAttachment, want.Name)
	defer sub.close()
	have := &v1alpha1.Attachment{}
	made, err := s.createOn(ctx, sub, want, have)
	if err != nil {
		return nil, apiError(ctx, err, fields)
	}
	differs := func(o object) error {
		if made {
			return nil
		}
		if diff := compareAttachment(want, o.(*v1alpha1.Attachment), fields); len(diff) > 0 {
			return different(have, diff)
		}
		return nil
	}
	if len(have.Status.Addresses) > 0 {
		if err := differs(have); err != nil {
			return nil, err
		}
	}
	ready, err := s.settle(ctx, sub, have, v1alpha1.ConditionReady, fields)
	if isRefusal(err) {
		s.takeBack(ctx, sub, want, have, made)
	}
	if err != nil {
		return nil, apiError(ctx, err, fields)
	}
	if err := differs(ready); err != nil {
		return nil, err
	}
	return attachContainerResponse(ready.(*v1alpha1.Attachment)), nil
}

// createOn makes an attachment on a network that is there and stays so at least
// until the attachment is seen.
func (s *Server) createOn(ctx context.Context, sub *subscription, want, have *v1alpha1.Attachment) (made bool, err error) {
	unlock, err := s.locks.read(ctx, "network/"+want.Spec.Network)
	if err != nil {
		return false, err
	}
	defer unlock()
	if err := s.checkNetwork(ctx, want.Spec.Network); err != nil {
		return false, err
	}
	if made, err = s.create(ctx, sub, marked(want), have); err != nil || !made {
		return made, err
	}
	// The caller's wait goes on after this one, and tells what it ended with.
	_ = sub.awaitSeen(ctx, have.UID)
	return made, nil
}

// checkNetwork refuses a network that does not exist, or not for long.
func (s *Server) checkNetwork(ctx context.Context, id string) error {
	n := &v1alpha1.Network{}
	if err := s.cache.Get(ctx, client.ObjectKey{Name: id}, n); err == nil && n.DeletionTimestamp.IsZero() {
		return nil
	}
	err := s.api.Get(ctx, client.ObjectKey{Name: id}, n)
	if apierrors.IsNotFound(err) {
		n.Name = id
		c := metav1.Condition{Type: v1alpha1.ConditionAccepted, Reason: v1alpha1.ReasonNetworkNotFound, Message: "does not exist"}
		return fail(codes.NotFound, "network_id: network "+quote(id)+" does not exist", info(n, c))
	}
	if err != nil {
		return err
	}
	if !n.DeletionTimestamp.IsZero() {
		c := metav1.Condition{Type: v1alpha1.ConditionAccepted, Reason: v1alpha1.ReasonNetworkDeleting, Message: "is being deleted"}
		return fail(codes.FailedPrecondition, "network_id: network "+quote(id)+" is being deleted", info(n, c))
	}
	return nil
}

// DetachContainer disconnects a container.
func (s *Server) DetachContainer(ctx context.Context, r *controlpb.DetachContainerRequest) (*controlpb.DetachContainerResponse, error) {
	wrong := append(checkID("container_id", r.GetContainerId()), checkID("network_id", r.GetNetworkId())...)
	if err := invalid(wrong); err != nil {
		return nil, err
	}
	name := attachmentName(r.GetContainerId(), r.GetNetworkId())
	sub := s.hub.subscribe(kindAttachment, name)
	defer sub.close()
	a := &v1alpha1.Attachment{}
	if len(name) > 253 {
		return &controlpb.DetachContainerResponse{}, nil // no object can have that name
	}
	if r.GetNoWait() && s.cache.Get(ctx, client.ObjectKey{Name: name}, a) == nil && isOf(a, r.GetContainerId(), r.GetNetworkId()) {
		// What the cache has is as good to begin with: the deletion tells where it is old.
		if err := s.mark(ctx, sub, a); err == nil {
			return &controlpb.DetachContainerResponse{Existed: true}, nil
		}
		a = &v1alpha1.Attachment{}
	}
	err := s.api.Get(ctx, client.ObjectKey{Name: name}, a)
	if apierrors.IsNotFound(err) || err == nil && !isOf(a, r.GetContainerId(), r.GetNetworkId()) {
		return &controlpb.DetachContainerResponse{}, nil
	}
	if err == nil && r.GetNoWait() {
		if err = s.mark(ctx, sub, a); apierrors.IsConflict(err) {
			err = nil // that one is gone
		}
	} else if err == nil {
		err = s.remove(ctx, sub, a)
	}
	if err != nil {
		return nil, apiError(ctx, err, nil)
	}
	return &controlpb.DetachContainerResponse{Existed: true}, nil
}

// isOf tells whether an attachment is that of a container on a network: another
// may have the name that those make together.
func isOf(a *v1alpha1.Attachment, container, network string) bool {
	return a.Spec.Container.ID == container && a.Spec.Network == network
}

// GetContainerNetworks lists the networks of a container, or the containers of
// networks, from the cache.
func (s *Server) GetContainerNetworks(ctx context.Context, r *controlpb.GetContainerNetworksRequest) (*controlpb.GetContainerNetworksResponse, error) {
	by, wrong := attachmentsAsked(r)
	if err := invalid(wrong); err != nil {
		return nil, err
	}
	if err := s.storeAnswers(ctx); err != nil {
		return nil, apiError(ctx, err, nil)
	}
	out := &controlpb.GetContainerNetworksResponse{}
	for _, of := range by {
		list, err := s.containerNetworks(ctx, of)
		if err != nil {
			return nil, apiError(ctx, err, nil)
		}
		out.Networks = append(out.Networks, list...)
	}
	if r.GetPublished() {
		out.Networks = slices.DeleteFunc(out.Networks, func(c *controlpb.ContainerNetwork) bool { return len(c.GetPorts()) == 0 })
	}
	slices.SortFunc(out.Networks, func(a, b *controlpb.ContainerNetwork) int {
		return cmp.Or(compareStrings(a.NetworkId, b.NetworkId), compareStrings(a.Name, b.Name))
	})
	return out, nil
}

// attachmentsAsked are the fields by which a request asks for attachments: those
// that match any of them.
func attachmentsAsked(r *controlpb.GetContainerNetworksRequest) (by []client.MatchingFields, wrong []violation) {
	if len(r.GetNetworkIds()) > 0 {
		if r.GetNetworkId() != "" || r.GetContainerId() != "" {
			wrong = append(wrong, violation{"network_ids", "cannot be given with network_id or container_id"})
		}
		ids := slices.Clone(r.GetNetworkIds())
		for i, id := range ids {
			wrong = append(wrong, checkID("network_ids["+strconv.Itoa(i)+"]", id)...)
		}
		slices.Sort(ids)
		for _, id := range slices.Compact(ids) {
			by = append(by, client.MatchingFields{byNetwork: id})
		}
		return by, wrong
	}
	of := client.MatchingFields{}
	if r.GetNetworkId() != "" {
		wrong = append(wrong, checkID("network_id", r.GetNetworkId())...)
		of[byNetwork] = r.GetNetworkId()
	}
	if r.GetContainerId() != "" || r.GetNetworkId() == "" {
		wrong = append(wrong, checkID("container_id", r.GetContainerId())...)
		of[byContainer] = r.GetContainerId()
	}
	return []client.MatchingFields{of}, wrong
}

// containerNetworks are the attachments of the cache that match fields.
func (s *Server) containerNetworks(ctx context.Context, by client.MatchingFields) (out []*controlpb.ContainerNetwork, err error) {
	var list v1alpha1.AttachmentList
	if err := s.cache.List(ctx, &list, by, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	for i := range list.Items {
		out = append(out, containerNetwork(&list.Items[i]))
	}
	return out, nil
}
