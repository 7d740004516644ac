// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// sweepAgain is when a sweep is tried again that failed: the engine is away.
const sweepAgain = 30 * time.Second

// Run removes shadows that have become surplus, until ctx is done.
func (e *Engine) Run(ctx context.Context) error {
	for {
		var again <-chan time.Time
		if err := e.Sweep(ctx); err != nil && ctx.Err() == nil {
			e.log.V(1).Info("Removing surplus networks from the engine failed, it is tried again", "error", err.Error())
			again = time.After(sweepAgain)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-e.surplus:
		case <-again:
		}
	}
}

// surplusNow says that there may be surplus shadows.
func (e *Engine) surplusNow() {
	select {
	case e.surplus <- struct{}{}:
	default: // it is said already
	}
}

// Sweep removes the shadows of networks that are gone, where no container is on
// them, started or not.
func (e *Engine) Sweep(ctx context.Context) error {
	e.shadows.Lock()
	defer e.shadows.Unlock()
	shadows, err := e.lookAtShadows(ctx)
	if err != nil || len(shadows) == 0 {
		return err
	}
	networks, err := e.ours(ctx)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, n := range networks {
		there[n.ID] = true
	}
	var failed []error
	for _, s := range shadows {
		if there[s.network] {
			continue
		}
		query := filters("network", s.name)
		query.Set("all", "1")
		var containers []struct{ ID string }
		if err := e.call(ctx, http.MethodGet, "/containers/json", query, nil, &containers); err != nil {
			return fmt.Errorf("listing the containers on network %s: %w", s.name, err)
		}
		if len(containers) > 0 {
			continue
		}
		if err := e.call(ctx, http.MethodDelete, "/networks/"+s.id, nil, nil, nil); err != nil && !isNotFound(err) {
			failed = append(failed, fmt.Errorf("removing network %s from the engine: %w", s.name, err))
		}
	}
	if _, err := e.lookAtShadows(ctx); err != nil {
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}
