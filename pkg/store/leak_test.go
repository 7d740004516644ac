// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/vas-solutus/arca-network/pkg/store"
)

func TestStopLeavesNoGoroutine(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	for range 2 {
		s := startStore(t, store.Options{Dir: t.TempDir()})
		createWidgets(t, widgetClient(t, s.Config()), 0, 3)
		if err := s.Check(testContext(t)); err != nil {
			t.Error(err)
		}
		stopStore(t, s)
	}
	if err := goleak.Find(ignore); err != nil {
		t.Error(err)
	}
}
