// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"maps"
	"sync"
)

// hints remember where the control API has what an engine names by an id of its
// own. They are no more than that: what one says is looked at, and what none says
// is looked for.
type hints[V any] struct {
	mu sync.Mutex
	of map[string]V
}

func newHints[V any]() *hints[V] { return &hints[V]{of: map[string]V{}} }

func (h *hints[V]) get(id string) (of V, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	of, known = h.of[id]
	return of, known
}

func (h *hints[V]) put(id string, of V) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.of[id] = of
}

func (h *hints[V]) forget(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.of, id)
}

// keep forgets what is not so, such as endpoints that others have removed.
func (h *hints[V]) keep(isSo func(id string, of V) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.of, func(id string, of V) bool { return !isSo(id, of) })
}
