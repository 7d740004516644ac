// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// netnsID tells namespaces apart: a path may hold another one tomorrow.
type netnsID struct{ dev, ino uint64 }

var errNotNetns = errors.New("is not a network namespace")

// openNetns opens the namespace at the path; the caller closes it.
func openNetns(path string) (netns.NsHandle, netnsID, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return netns.None(), netnsID{}, &NetnsError{Path: path, Err: err}
	}
	if t, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE); err != nil || t != unix.CLONE_NEWNET {
		_ = unix.Close(fd)
		// A plain file: perhaps the namespace is about to be mounted on it.
		return netns.None(), netnsID{}, &NetnsError{Path: path, Err: errNotNetns}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return netns.None(), netnsID{}, &NetnsError{Path: path, Err: err}
	}
	return netns.NsHandle(fd), netnsID{dev: st.Dev, ino: st.Ino}, nil
}

// statNetns is the namespace at the path without opening it, or the zero id.
// nsDev is the device of all namespace files.
func statNetns(path string, nsDev uint64) netnsID {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Dev != nsDev {
		return netnsID{}
	}
	return netnsID{dev: st.Dev, ino: st.Ino}
}

// namespaceDevice is the device that namespace files are on.
func namespaceDevice() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: "/proc/self/ns/net", Err: err}
	}
	return st.Dev, nil
}

// inNetns runs fn on a thread that is in ns. A thread that cannot go back to
// home is thrown away: it must not run anything else.
func inNetns(ns, home netns.NsHandle, fn func() error) error {
	res := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(ns); err != nil {
			runtime.UnlockOSThread()
			res <- fmt.Errorf("entering a network namespace: %w", err)
			return
		}
		err := fn()
		if back := netns.Set(home); back == nil {
			runtime.UnlockOSThread()
		}
		res <- err
	}()
	return <-res
}
