// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"fmt"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// Control is what is asked of the control API.
type Control = controlpb.NetworkControlClient

// Existing are all networks that there are.
func Existing(ctx context.Context, c Control) ([]*controlpb.BridgeInfo, error) {
	r, err := c.ListBridges(ctx, &controlpb.ListBridgesRequest{})
	return r.GetBridges(), err
}

// ErrConflicts says that nothing was declared, for not all could have been.
var ErrConflicts = errors.New("there are conflicts, so nothing was imported; resolve them, or say --skip-conflicts to import the others")

// Apply declares what a plan says. Where there are conflicts it declares nothing,
// unless they are to be skipped. One network that is refused does not stop the
// others; a plan that is applied again goes on where it was.
func Apply(ctx context.Context, c Control, plan []Item, skipConflicts bool) error {
	if !skipConflicts && len(plan) > 0 && plan[0].Action == Conflict {
		return ErrConflicts
	}
	var errs []error
	for _, item := range plan {
		if item.Action != Create {
			continue
		}
		if _, err := c.CreateBridge(ctx, item.request); err != nil {
			errs = append(errs, fmt.Errorf("network %s: %w", item.Name, err))
		}
	}
	return errors.Join(errs...)
}
