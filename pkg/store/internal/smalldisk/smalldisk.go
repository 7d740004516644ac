// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package smalldisk gives tests a disk that can be filled. It must not be used
// outside tests, and needs the right to mount.
package smalldisk

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Disk is a file system in memory.
type Disk struct {
	// Dir is where it is mounted.
	Dir     string
	ballast string
}

// New mounts a disk of so many bytes, and unmounts it when the test ends.
func New(t testing.TB, size int) *Disk {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "size="+strconv.Itoa(size)); err != nil {
		t.Fatalf("mounting a small tmpfs, which this test needs: %v", err)
	}
	t.Cleanup(func() {
		// A pool closes the connection of an interrupted query in a goroutine of
		// its own, and says nothing when it has.
		var err error
		for limit := time.Now().Add(5 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
			if err = unix.Unmount(dir, 0); err == nil {
				return
			}
		}
		t.Errorf("unmounting: %v", err)
		_ = unix.Unmount(dir, unix.MNT_DETACH)
	})
	return &Disk{Dir: dir, ballast: filepath.Join(dir, "ballast")}
}

// Fill takes all the space that is left, but for so many bytes.
func (d *Disk) Fill(t testing.TB, leave int64) {
	t.Helper()
	f, err := os.OpenFile(d.ballast, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, zeros{}); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("filling the disk: %v, want ENOSPC", err)
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err == nil {
		err = f.Truncate(max(0, size-leave))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Free gives back what Fill took.
func (d *Disk) Free(t testing.TB) {
	t.Helper()
	if err := os.Remove(d.ballast); err != nil {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
