// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Daemon is a process beside the test, which it takes down and brings back.
type Daemon struct {
	t    testing.TB
	args []string
	log  bytes.Buffer
	cmd  *exec.Cmd
	pid  int
}

// Program finds what hack/envtest-assets.sh has built.
func Program(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != "/" {
		if path := filepath.Join(dir, "bin", "envtest", name); runnable(path) {
			return path
		}
		dir = filepath.Dir(dir)
	}
	t.Fatalf("no %s to test with: run `make envtest-assets`", name)
	return ""
}

func runnable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o100 != 0
}

// StartEtcd runs a real etcd and returns its client URL. It ends with the test.
func StartEtcd(t testing.TB) (url string, d *Daemon) {
	t.Helper()
	url, peer := "http://"+FreeAddress(t), "http://"+FreeAddress(t)
	d = &Daemon{t: t, args: []string{Program(t, "etcd"), "--data-dir", t.TempDir(), "--log-level", "warn",
		"--listen-client-urls", url, "--advertise-client-urls", url,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer}}
	d.Start()
	d.endWithTest()
	return url, d
}

// Child finds the process of that name that this one has started.
func Child(t testing.TB, name string) *Daemon {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(lists) == 0 {
		t.Fatalf("no list of children: %v", err)
	}
	for _, list := range lists {
		pids, _ := os.ReadFile(list) // the thread may have ended
		for _, pid := range strings.Fields(string(pids)) {
			line, err := os.ReadFile("/proc/" + pid + "/cmdline")
			args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
			if err != nil || filepath.Base(args[0]) != name {
				continue
			}
			d := &Daemon{t: t, args: args}
			if _, err := fmt.Sscan(pid, &d.pid); err != nil {
				t.Fatal(err)
			}
			d.endWithTest()
			return d
		}
	}
	t.Fatalf("this process has not started %s", name)
	return nil
}

// FreeAddress is a port on the loopback that nobody listens on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Start starts the process again, with the arguments that it had.
func (d *Daemon) Start() {
	d.t.Helper()
	d.cmd = exec.Command(d.args[0], d.args[1:]...)
	d.cmd.Stderr = &d.log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.pid = d.cmd.Process.Pid
}

// Kill ends the process with -9. When it returns, its sockets are closed.
func (d *Daemon) Kill() {
	d.t.Helper()
	if d.cmd != nil {
		if err := d.cmd.Process.Kill(); err != nil {
			d.t.Error(err)
		}
		_ = d.cmd.Wait() // killed: it is an error
		return
	}
	// Who has started it waits for it too.
	fd, err := unix.PidfdOpen(d.pid, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		d.t.Fatal(err)
	}
	for {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != syscall.EINTR {
			return
		}
	}
}

// Freeze stops the process: its sockets are open, and nobody answers on them.
func (d *Daemon) Freeze() { d.signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (d *Daemon) Thaw() { d.signal(syscall.SIGCONT) }

func (d *Daemon) signal(s syscall.Signal) {
	d.t.Helper()
	if err := syscall.Kill(d.pid, s); err != nil {
		d.t.Fatal(err)
	}
}

// endWithTest kills what this test has started itself, and thaws what was found.
func (d *Daemon) endWithTest() {
	d.t.Cleanup(func() {
		if d.cmd == nil {
			_ = syscall.Kill(d.pid, syscall.SIGCONT)
			return
		}
		if d.cmd.ProcessState == nil {
			d.Kill()
		}
		if d.t.Failed() {
			d.t.Logf("%s: %s", filepath.Base(d.args[0]), &d.log)
		}
	})
}
