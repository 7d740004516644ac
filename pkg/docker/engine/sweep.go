// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
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
// them, started or not, nor has one as its network mode: the engine starts none whose
// mode is a network that it does not know.
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
	shadows = slices.DeleteFunc(shadows, func(s shadow) bool { return there[s.network] })
	if len(shadows) == 0 {
		return nil
	}
	used, err := e.usedNetworks(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, s := range shadows {
		if used[s.name] {
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

// usedNetworks are the names of the engine's networks that containers are on, started
// or not, or have as their network mode.
func (e *Engine) usedNetworks(ctx context.Context) (map[string]bool, error) {
	var containers []struct {
		HostConfig      struct{ NetworkMode string }
		NetworkSettings struct{ Networks map[string]json.RawMessage }
	}
	if err := e.call(ctx, http.MethodGet, "/containers/json", url.Values{"all": {"1"}}, nil, &containers); err != nil {
		return nil, fmt.Errorf("listing the engine's containers: %w", err)
	}
	used := map[string]bool{}
	for _, c := range containers {
		used[c.HostConfig.NetworkMode] = true
		for name := range c.NetworkSettings.Networks {
			used[name] = true
		}
	}
	return used, nil
}
