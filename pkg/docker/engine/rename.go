// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/http"
)

// rename serves the renaming of a container. The engine tells its driver nothing
// of it, but the names that our networks know are those of their endpoints.
func (e *Engine) rename(w http.ResponseWriter, r *http.Request, container string) {
	c, err := e.container(r.Context(), container)
	if err != nil {
		e.handOnTo(w, r, nil) // the engine says so itself
		return
	}
	e.handOnAnd(w, r, func(answer *http.Response) error {
		if answer.StatusCode != http.StatusNoContent {
			return nil
		}
		// It has its name; a client that has gone does not take it back.
		if err := e.renamed(context.WithoutCancel(r.Context()), c.ID); err != nil {
			e.log.Error(err, "A container was renamed, and its networks will know when it is started the next time", "container", c.ID)
		}
		return nil
	})
}

// renamed tells the networks that a container runs on how it is called now.
func (e *Engine) renamed(ctx context.Context, container string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := e.container(ctx, container)
	if err != nil || !c.State.Running {
		return err
	}
	networks, err := e.ours(ctx)
	if err != nil {
		return err
	}
	for _, n := range networks {
		if endpoint := endpointOf(c.NetworkSettings.Networks[shadowName(n.ID)]); endpoint != "" {
			if err := e.networks.Rename(ctx, n, endpoint, c.Name); err != nil {
				return err
			}
		}
	}
	return nil
}
