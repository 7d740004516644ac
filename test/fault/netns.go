// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"runtime"

	"github.com/vishvananda/netns"
)

// inNetns calls fn in a namespace. Sockets that it makes stay there.
func inNetns(name string, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		h, err := netns.GetFromPath("/run/netns/" + name)
		if err != nil {
			done <- err
			return
		}
		defer h.Close()
		if err := netns.Set(h); err != nil {
			done <- err
			return
		}
		done <- fn()
	}()
	return <-done
}
