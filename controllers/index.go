// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// attachmentsByNetwork indexes attachments by spec.network.
const attachmentsByNetwork = "spec.network"

// attachmentsByNetns indexes attachments by spec.interface.netns.
const attachmentsByNetns = "spec.interface.netns"

// attachmentsPublishing indexes attachments with published ports in force.
const attachmentsPublishing = "status.ports"

func addIndexes(ctx context.Context, i client.FieldIndexer) error {
	if err := i.IndexField(ctx, &v1alpha1.Attachment{}, attachmentsByNetwork, func(o client.Object) []string {
		return []string{o.(*v1alpha1.Attachment).Spec.Network}
	}); err != nil {
		return err
	}
	if err := i.IndexField(ctx, &v1alpha1.Attachment{}, attachmentsPublishing, func(o client.Object) []string {
		if len(o.(*v1alpha1.Attachment).Status.Ports) > 0 {
			return []string{"true"}
		}
		return nil
	}); err != nil {
		return err
	}
	return i.IndexField(ctx, &v1alpha1.Attachment{}, attachmentsByNetns, func(o client.Object) []string {
		if p := o.(*v1alpha1.Attachment).AsInForce().Spec.Interface.Netns; p != "" {
			return []string{p}
		}
		return nil
	})
}

// attachmentsOf lists the attachments of a network from the cache, as it is: one that is
// written just now brings an event of its own.
func attachmentsOf(ctx context.Context, c client.Reader, network string) ([]v1alpha1.Attachment, error) {
	var list v1alpha1.AttachmentList
	if err := c.List(ctx, &list, client.MatchingFields{attachmentsByNetwork: network},
		client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		return nil, err
	}
	return list.Items, nil
}

// names returns the names of objects in a list.
func names[T any, P interface {
	*T
	client.Object
}](items []T) []string {
	out := make([]string, len(items))
	for i := range items {
		out[i] = P(&items[i]).GetName()
	}
	return out
}
