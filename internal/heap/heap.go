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
	// How much the heap grows before it is collected, in percent of what is in
	// use: while it is small, while it is large, and while there is nothing to do.
	small, large, quiet = 50, 100, 20
	// largeFrom is from where a heap is large.
	largeFrom = 64 << 20
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
		if p != percent {
			debug.SetGCPercent(p)
			percent = p
		}
	}
	t := time.NewTicker(every)
	defer t.Stop()
	all, _ := sizes()
	w := watch{looked: all}
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			all, live := sizes()
			was := w.calmed()
			w.look(all)
			switch {
			case !w.calmed() && live < largeFrom:
				set(small)
			case !w.calmed():
				set(large)
			case !was:
				set(quiet)
				debug.FreeOSMemory()
			}
		}
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
