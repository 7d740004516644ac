// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package heap

import (
	"runtime"
	"testing"
)

func TestCalm(t *testing.T) {
	var w watch
	total := uint64(0)
	see := func(looks int, bytes uint64, want bool) {
		t.Helper()
		for range looks {
			total += bytes
			w.look(total)
		}
		if w.calmed() != want {
			t.Errorf("after %d looks at %d bytes: %v, want %v", looks, bytes, w.calmed(), want)
		}
	}
	see(3, 50*little, false)     // works
	see(calm-1, little, false)   // pauses
	see(1, 2*little, false)      // works on
	see(calm-1, little/2, false) // becomes quiet
	see(1, little/2, true)
	see(100, little/2, true)
	see(1, 3*little, false)
	see(calm, 0, true)
}

func TestSizes(t *testing.T) {
	runtime.GC()
	if allocated, live := sizes(); allocated == 0 || live == 0 || live > allocated {
		t.Errorf("%d bytes allocated, %d in use", allocated, live)
	}
}

func TestPercent(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		live, kept uint64
		want       int
	}{
		{30 * mib, 0, 50}, // starts
		{64 * mib, 0, 100},
		{30 * mib, 30 * mib, 300}, // works
		{37 * mib, 30 * mib, 300},
		{20 * mib, 30 * mib, 300},
		{38 * mib, 30 * mib, 100}, // takes in more
	} {
		if got := percentOf(c.live, c.kept); got != c.want {
			t.Errorf("%d MiB in use, %d when it was quiet: %d %%, want %d", c.live/mib, c.kept/mib, got, c.want)
		}
	}
}
