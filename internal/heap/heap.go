// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package heap gives memory back to the system when the process has become
// quiet. It decides when, and changes no other setting of the runtime.
package heap

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// every is how often the process is looked at.
	every = 10 * time.Second
	// quiet is what a process that has nothing to do allocates meanwhile, at most.
	quiet = 16 << 20
	// worthwhile is what must have been allocated since the last time: the
	// collection that goes with it is work too.
	worthwhile = 64 << 20
)

// GiveBack gives free memory back each time that the process has become quiet,
// until ctx is done. The runtime alone keeps what a burst of work has needed for
// minutes, and the room for the next collection for ever.
func GiveBack(ctx context.Context) {
	t := time.NewTicker(every)
	defer t.Stop()
	var w watch
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if w.due(allocated()) {
				debug.FreeOSMemory()
			}
		}
	}
}

// watch remembers how much had been allocated.
type watch struct{ looked, gave uint64 }

// due tells whether now is the time, by the bytes that were ever allocated.
func (w *watch) due(allocated uint64) bool {
	still := allocated-w.looked < quiet
	w.looked = allocated
	if !still || allocated-w.gave < worthwhile {
		return false
	}
	w.gave = allocated
	return true
}

func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
