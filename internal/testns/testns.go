// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package testns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Isolate makes the network and mount namespace usable that a process was just
// started in: private mounts, a /run and a /proc of their own, and a loopback.
func Isolate() error {
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"making mounts private", func() error { return unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, "") }},
		{"mounting /run", func() error { return unix.Mount("run", "/run", "tmpfs", 0, "mode=755") }},
		{"mounting /proc", func() error { return unix.Mount("proc", "/proc", "proc", 0, "") }},
		{"making /run/netns", func() error { return os.MkdirAll("/run/netns", 0o755) }},
		{"raising lo", raiseLoopback},
		{"listening on all addresses", listenOnce},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func raiseLoopback() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// listenOnce has package net find out here which families there are: it asks once,
// where it first listens, and a namespace whose lo is down seems to have no IPv6.
func listenOnce() error {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		return err
	}
	return l.Close()
}

// Path is where the network namespace of that name is.
func Path(name string) string { return "/run/netns/" + name }

// Make makes a network namespace, as ip-netns(8) does.
func Make(name string) error {
	path := Path(name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("making network namespace %s: %w", name, err)
	}
	return nil
}

// Remove removes a network namespace.
func Remove(name string) error {
	return errors.Join(unix.Unmount(Path(name), unix.MNT_DETACH), os.Remove(Path(name)))
}
