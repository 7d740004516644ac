// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// UpdateContainer changes an attachment.
func (s *Server) UpdateContainer(ctx context.Context, r *controlpb.UpdateContainerRequest) (*controlpb.AttachContainerResponse, error) {
	wrong := append(checkID("container_id", r.GetContainerId()), checkID("network_id", r.GetNetworkId())...)
	wrong = append(wrong, checkAnnotations("annotations", r.GetAnnotations())...)
	if err := invalid(wrong); err != nil {
		return nil, err
	}
	fields := updateFields(r)
	name := attachmentName(r.GetContainerId(), r.GetNetworkId())
	// One after the other: what another call has written and may be refused is no
	// state to go back to.
	unlock, err := s.locks.write(ctx, "attachment/"+name)
	if err != nil {
		return nil, apiError(ctx, err, fields)
	}
	defer unlock()
	sub := s.hub.subscribe(kindAttachment, name)
	defer sub.close()
	before, now, err := s.update(ctx, r, fields)
	if err != nil {
		return nil, apiError(ctx, err, fields)
	}
	ready, err := s.settle(ctx, sub, now, v1alpha1.ConditionReady, fields)
	if isRefusal(err) && now.Generation != before.Generation {
		s.restore(ctx, sub, before, now)
	}
	if err == nil {
		// Whoever reads after this call sees the change.
		err = s.awaitCached(ctx, sub, before, now)
	}
	if err != nil {
		return nil, apiError(ctx, err, fields)
	}
	return attachContainerResponse(ready.(*v1alpha1.Attachment)), nil
}

// update writes the change, unless there is none.
func (s *Server) update(ctx context.Context, r *controlpb.UpdateContainerRequest, fields fieldMap) (before, now *v1alpha1.Attachment, err error) {
	key := client.ObjectKey{Name: attachmentName(r.GetContainerId(), r.GetNetworkId())}
	// What the cache has is as good to begin with: a write tells where it is old, and
	// where none would be made the API is asked.
	read, cached := s.cache.Get, true
	for ; ; read, cached = s.api.Get, false {
		before = &v1alpha1.Attachment{}
		if err = read(ctx, key, before); err != nil || !before.DeletionTimestamp.IsZero() {
			err = s.api.Get(ctx, key, before)
		}
		if apierrors.IsNotFound(err) || err == nil && (!before.DeletionTimestamp.IsZero() ||
			before.Spec.Container.ID != r.GetContainerId() || before.Spec.Network != r.GetNetworkId()) {
			return nil, nil, status.Errorf(codes.NotFound, "container_id: %s is not attached to network %s", quote(r.GetContainerId()), quote(r.GetNetworkId()))
		}
		if err != nil {
			return nil, nil, err
		}
		now = updated(before, r)
		if err = s.refuseInvalid(ctx, now, fields, nil); err != nil {
			return nil, nil, err
		}
		if equality.Semantic.DeepEqual(before, now) {
			if cached {
				continue
			}
			return before, now, nil
		}
		if err = s.api.Update(ctx, now); !apierrors.IsConflict(err) {
			return before, now, err
		}
	}
}

// updated is an attachment with what a request changes of it.
func updated(before *v1alpha1.Attachment, r *controlpb.UpdateContainerRequest) *v1alpha1.Attachment {
	a := before.DeepCopy()
	if len(r.GetAddresses()) > 0 {
		a.Spec.Addresses = r.GetAddresses()
	}
	if r.Hostname != nil {
		a.Spec.Container.Name = r.GetHostname()
	}
	if r.Aliases != nil {
		a.Spec.Container.Aliases = r.GetAliases().GetAliases()
	}
	if r.LinkLocalAddresses != nil {
		a.Spec.LinkLocalAddresses = r.GetLinkLocalAddresses().GetAddresses()
	}
	if r.Ports != nil {
		a.Spec.Ports = portsOf(r.GetPorts().GetPorts())
	}
	for k, v := range r.GetAnnotations() {
		if v == "" {
			delete(a.Annotations, k)
			continue
		}
		if a.Annotations == nil {
			a.Annotations = map[string]string{}
		}
		a.Annotations[k] = v
	}
	return a
}

func updateFields(r *controlpb.UpdateContainerRequest) (fields fieldMap) {
	fields.addAddresses(len(r.GetAddresses()), 0)
	fields.add("spec.addresses", "addresses")
	fields.addNames()
	fields.add("spec", "")
	return fields
}

// restore writes what there was before a change that was refused: it is still in
// force. Whoever reads afterwards sees it. The caller may be gone by then.
func (s *Server) restore(ctx context.Context, sub *subscription, before, refused *v1alpha1.Attachment) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	for {
		now := &v1alpha1.Attachment{}
		err := s.api.Get(ctx, client.ObjectKeyFromObject(refused), now)
		if err == nil && now.UID == refused.UID && now.Generation == refused.Generation {
			now.Spec, now.Annotations = before.Spec, before.Annotations
			if err = s.api.Update(ctx, now); err == nil {
				err = sub.awaitVersion(ctx, now)
			}
		}
		switch {
		case apierrors.IsConflict(err):
			continue // its status was written
		case client.IgnoreNotFound(err) != nil:
			s.options.Log.Error(err, "Putting back what was changed and refused", "kind", kindAttachment, "name", refused.Name)
		}
		return
	}
}

// awaitCached waits until the cache has an object as it was written over before, or as it
// was found.
func (s *Server) awaitCached(ctx context.Context, sub *subscription, before, now object) error {
	if now.GetResourceVersion() != before.GetResourceVersion() {
		return sub.awaitVersion(ctx, now)
	}
	// Nothing was written, so no event need come.
	known := now.DeepCopyObject().(object)
	err := s.cache.Get(ctx, client.ObjectKeyFromObject(now), known)
	if err == nil && known.GetUID() == now.GetUID() {
		if order, err := resourceversion.CompareResourceVersion(known.GetResourceVersion(), now.GetResourceVersion()); err != nil || order >= 0 {
			return err
		}
	}
	return sub.awaitVersion(ctx, now)
}

// awaitVersion waits until the cache has an object as it was written, or later, since
// the subscription began.
func (s *subscription) awaitVersion(ctx context.Context, written object) error {
	return s.await(ctx, written.GetUID(), func(o object, gone bool) (bool, error) {
		if gone {
			return true, nil
		}
		order, err := resourceversion.CompareResourceVersion(o.GetResourceVersion(), written.GetResourceVersion())
		return order >= 0, err
	})
}
