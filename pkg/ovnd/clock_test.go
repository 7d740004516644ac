// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
)

// Who no longer looks after a daemon lets it go on no more by the clock.
func TestLeftHoldHasNoClock(t *testing.T) {
	h := &hold{daemon: &daemon{name: "ovn-northd"}, atMost: time.Hour, log: logr.Discard(), begun: make(chan struct{}, 1)}
	h.leave() // not held yet
	h.note()
	h.leave()
	if h.release.Stop() {
		t.Error("the clock still ran")
	}
	if !h.is() {
		t.Error("the daemon is held no more")
	}
}

// One that was just being told to go on, in vain, is not told again.
func TestLeftHoldIsNotTriedAgain(t *testing.T) {
	h := &hold{daemon: &daemon{name: "ovn-northd"}, atMost: time.Hour, log: logr.Discard(), begun: make(chan struct{}, 1)}
	h.resume = func(context.Context) error {
		h.leave()
		return errors.New("no")
	}
	h.note()
	h.end(t.Context())
	if h.release.Stop() {
		t.Error("the clock runs")
	}
	if !h.is() {
		t.Error("the daemon is held no more")
	}
}
