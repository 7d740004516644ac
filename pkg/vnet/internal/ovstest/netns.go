// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovstest

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Netns is a network namespace bound to a path, as `ip netns add` makes it.
type Netns struct {
	t    testing.TB
	Path string
}

// NewNetns makes /run/netns/NAME and removes it when the test ends.
func NewNetns(t testing.TB, name string) *Netns {
	t.Helper()
	n := &Netns{t: t, Path: filepath.Join("/run/netns", name)}
	n.Create()
	t.Cleanup(n.Remove)
	return n
}

// Create makes a (new) namespace at the path: first the file, then the mount.
func (n *Netns) Create() {
	n.t.Helper()
	f, err := os.OpenFile(n.Path, os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		n.t.Fatal(err)
	}
	_ = f.Close()
	n.Mount()
}

// Mount puts a new namespace over the file at the path.
func (n *Netns) Mount() {
	n.t.Helper()
	err := visit(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, func() error {
		return unix.Mount("/proc/thread-self/ns/net", n.Path, "", unix.MS_BIND, "")
	})
	if err != nil {
		n.t.Fatal("making a network namespace:", err)
	}
}

// visit runs fn on a thread that enter put into a namespace, and puts the thread
// back: the main thread would keep the namespace alive, since it cannot end.
func visit(enter, fn func() error) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() { _ = home.Close() }()
	if err = enter(); err == nil {
		err = fn()
	}
	if back := netns.Set(home); back != nil {
		return back // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// Unmount takes the namespace away and leaves the file.
func (n *Netns) Unmount() { _ = unix.Unmount(n.Path, unix.MNT_DETACH) }

// Remove does what `ip netns del` does; it may be gone already.
func (n *Netns) Remove() {
	n.Unmount()
	_ = os.Remove(n.Path)
}

// Do runs fn on a thread inside the namespace.
func (n *Netns) Do(fn func() error) {
	n.t.Helper()
	err := visit(func() error {
		ns, err := netns.GetFromPath(n.Path)
		if err != nil {
			return err
		}
		defer func() { _ = ns.Close() }()
		return netns.Set(ns)
	}, fn)
	if err != nil {
		n.t.Fatalf("in %s: %v", n.Path, err)
	}
}

// Handle is a netlink handle inside the namespace, closed when the test ends.
func (n *Netns) Handle() *netlink.Handle {
	n.t.Helper()
	ns, err := netns.GetFromPath(n.Path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = ns.Close() }()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(h.Close)
	return h
}
