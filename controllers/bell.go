// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

// bell asks a goroutine for something. Any number of calls before it listens
// are one.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

// Ask asks, and never waits.
func (b bell) Ask() {
	select {
	case b <- struct{}{}:
	default:
	}
}
