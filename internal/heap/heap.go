// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package heap has the runtime collect seldom while the process works, and keep
// little when it has become quiet. Nothing else sets the percentage of the
// collector; where GOGC says one, this package does nothing.
package heap

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// every is how often the process is looked at.
	every = time.Second
	// little is what a process that has nothing to do allocates meanwhile, at most.
	little = 2 << 20
	// calm is for how many looks it must be so.
	calm = 10
	// How much the heap grows before it is collected, in percent of what is in use,
	// while it starts with a small heap, and otherwise.
	small, large = 50, 100
	// largeFrom is from where a heap is large.
	largeFrom = 64 << 20
	// roomy is for a process that works and needs no more than when it was last quiet:
	// a collection takes half of two processors from whoever waits for an answer. One
	// that takes in more objects (morePart of what it had) would be left with holes
	// between them.
	roomy    = 300
	morePart = 4
	// spare is what a quiet process allocates before it is collected, as a part of
	// what is in use, and in bytes at least.
	sparePart, spareLeast = 8, 4 << 20
)

// Keep follows what the process does until ctx is done. The runtime alone keeps
// what a burst of work has needed for minutes, and the room for the next
// collection for ever.
func Keep(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		<-ctx.Done()
		return
	}
	debug.SetGCPercent(small)
	percent := small
	set := func(p int) {
		if p != percent { // each setting stops the world
			debug.SetGCPercent(p)
			percent = p
		}
	}
	t := time.NewTicker(every)
	defer t.Stop()
	all, _ := sizes()
	w := watch{looked: all}
	var trimmed, kept uint64 // when it was last quiet: what it had allocated, and had in use
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			all, live := sizes()
			was := w.calmed()
			w.look(all)
			if w.calmed() && (!was || all-trimmed > max(spareLeast, live/sparePart)) {
				debug.FreeOSMemory()
				_, live = sizes()
				trimmed, kept = all, live
			}
			set(percentOf(live, kept))
		}
	}
}

// percentOf is how much a heap of which so many bytes are in use grows before it is
// collected. kept were in use when the process was last quiet; 0: it never was.
func percentOf(live, kept uint64) int {
	switch {
	case live <= kept+kept/morePart:
		return roomy
	case kept == 0 && live < largeFrom:
		return small
	default:
		return large
	}
}

// watch remembers what the last look was.
type watch struct {
	looked uint64
	still  int // looks at which little had been allocated
}

// look takes the bytes that were ever allocated.
func (w *watch) look(allocated uint64) {
	if allocated-w.looked <= little {
		w.still = min(w.still+1, calm)
	} else {
		w.still = 0
	}
	w.looked = allocated
}

// calmed tells whether there has been nothing to do for a while.
func (w *watch) calmed() bool { return w.still == calm }

// sizes are the bytes that were ever allocated, and those that the last
// collection has found in use.
func sizes() (allocated, live uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}
