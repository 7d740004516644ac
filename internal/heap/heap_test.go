// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package heap

import "testing"

func TestDue(t *testing.T) {
	const mib = 1 << 20
	var w watch
	for i, step := range []struct {
		allocated uint64
		want      bool
	}{
		{500 * mib, false}, // has just begun
		{900 * mib, false}, // works
		{905 * mib, true},  // has become quiet
		{910 * mib, false}, // still is: nothing to give back
		{925 * mib, false},
		{2000 * mib, false}, // works again
		{2001 * mib, true},
	} {
		if got := w.due(step.allocated); got != step.want {
			t.Errorf("step %d, %d MiB: %v, want %v", i, step.allocated/mib, got, step.want)
		}
	}
	if allocated() == 0 {
		t.Error("the runtime tells of no allocation")
	}
}
