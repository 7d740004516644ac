// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"sync"
)

// removals are attachments on their way out: deleted for whoever looks, while their
// ports and rows are being removed. Who wants something that they may still have
// waits for them; an engine that makes something else does not.
type removals struct {
	mu sync.Mutex
	of map[chan struct{}]string // closed when it is gone; the network
}

// begin notes a removal until done is called.
func (r *removals) begin(network string) (done func()) {
	gone := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[chan struct{}]string{}
	}
	r.of[gone] = network
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.of, gone)
		close(gone)
	}
}

// await waits for all removals on a network that have begun, or on all of them if
// it is empty; or until the caller does not.
func (r *removals) await(ctx context.Context, network string) {
	r.mu.Lock()
	var begun []chan struct{}
	for gone, on := range r.of {
		if network == "" || on == network {
			begun = append(begun, gone)
		}
	}
	r.mu.Unlock()
	for _, gone := range begun {
		select {
		case <-gone:
		case <-ctx.Done():
			return
		}
	}
}
