// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovstest

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const isolatedEnv = "ARCA_TEST_ISOLATED"

// Isolate is the body of TestMain: it runs the tests in namespaces of their own,
// network, mount and processes, so that when they end, however they end, no
// daemon, interface or mount is left. It needs root.
func Isolate(m *testing.M) {
	if os.Getenv(isolatedEnv) == "" {
		os.Exit(reexec())
	}
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "preparing the test's namespaces:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func reexec() int {
	runtime.LockOSThread() // Pdeathsig goes by the thread that forks
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Env = append(os.Environ(), isolatedEnv+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	sigs := make(chan os.Signal, 8)
	signal.Notify(sigs, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	if err := c.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "tests with real Open vSwitch need root:", err)
		return 1
	}
	go func() {
		for s := range sigs {
			_ = c.Process.Signal(s)
		}
	}()
	if err := c.Wait(); err != nil {
		if c.ProcessState != nil && c.ProcessState.ExitCode() > 0 {
			return c.ProcessState.ExitCode()
		}
		fmt.Fprintln(os.Stderr, "tests in their own namespaces:", err)
		return 1
	}
	return 0
}

func prepare() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/run/netns", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mounting /run/netns: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}
