// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/containernetworking/cni/pkg/types"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/pkg/control/client"
)

// atOnce is how many attachments GC deletes at the same time.
const atOnce = 8

// gc deletes the attachments that this network configuration has made for
// interfaces which are not in the list of valid ones. A configuration without a
// list is what CNI's library sends where a runtime says that none is valid.
func gc(ctx context.Context, c *call) error {
	all, err := c.all(ctx)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	var mu sync.Mutex
	var failed []error
	for _, n := range stale(all, c.config.Name, c.config.ValidAttachments) {
		group.Go(func() error {
			if err := c.detach(ctx, n); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, err)
			}
			return nil // the others are to go all the same
		})
	}
	_ = group.Wait()
	if len(failed) > 0 {
		// As one error of CNI, with the first one's code.
		var first *types.Error
		errors.As(failed[0], &first)
		return types.NewError(first.Code, errors.Join(failed...).Error(), first.Details)
	}
	return nil
}

// all are all attachments, of whoever and on whatever network.
func (c *call) all(ctx context.Context) (out []*controlpb.ContainerNetwork, err error) {
	err = client.Snapshot(ctx, c.api, func(e *controlpb.WatchEvent) {
		if a := e.GetAttachment(); a != nil && e.GetType() != controlpb.WatchEvent_DELETED {
			out = append(out, a)
		}
	})
	if err != nil {
		return nil, callError(err, c.config.Target, nil)
	}
	return out, nil
}
