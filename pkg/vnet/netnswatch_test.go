// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestWatchesExhausted: where the kernel has no more watches, a folder is stood in for
// by one that is watched already, and nobody waits.
func TestWatchesExhausted(t *testing.T) {
	w, err := newNetnsWatch(func(string, Reason) {})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	root, asked := t.TempDir(), 0
	w.watch = func(fd int, path string, mask uint32) (int, error) {
		if asked++; len(path) > len(root) {
			return -1, unix.ENOSPC
		}
		return unix.InotifyAddWatch(fd, path, mask)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.add(filepath.Join(root, "there", "ns"))
		if err := unix.Mkdir(filepath.Join(root, "made"), 0o700); err != nil {
			t.Error(err)
		}
		w.add(filepath.Join(root, "made", "ns"))
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second): // many times what it may take
		t.Fatal("it is tried without an end")
	}
	if asked > 8 {
		t.Errorf("%d watches were asked for", asked)
	}
	for dir, f := range w.folders {
		if f.on != root {
			t.Errorf("for %s %q is watched, want %s", dir, f.on, root)
		}
	}
}
