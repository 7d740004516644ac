// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A wait that ran out must not cut the next one short.
func TestWaitAgain(t *testing.T) {
	cmd := exec.Command("cat") // until its input ends
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(cmd.Process.Pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{pid: cmd.Process.Pid, fd: fd, file: os.NewFile(uintptr(fd), "pidfd")}
	defer p.close()
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := p.wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("wait for a process that runs: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.wait(t.Context()) }()
	select {
	case err := <-ended:
		t.Fatalf("the second wait ended while the process runs: %v", err)
	case <-time.After(50 * time.Millisecond): // nothing tells that something goes on waiting
	}
	if err := input.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the second wait: %v", err)
	}
	_ = cmd.Wait()
}

// lookEnv names the pid file of which a copy of this test program tells the holder.
const lookEnv = "ARCA_TEST_LOOK"

func init() {
	if path := os.Getenv(lookEnv); path != "" {
		pid, err := holderOf(path)
		fmt.Println(pid, err)
		os.Exit(0)
	}
}

// TestHolderElsewhere: a daemon of another pid namespace is not taken for the process
// that has its number in this one.
func TestHolderElsewhere(t *testing.T) {
	pidfile := filepath.Join(t.TempDir(), "x.pid")
	holder(t, pidfile)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), lookEnv+"="+pidfile)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatal(err, string(out))
	}
	if text := string(out); !strings.HasPrefix(text, "0 ") || !strings.Contains(text, pidfile) {
		t.Errorf("seen from another pid namespace: %s, want no process and an error that names %s", text, pidfile)
	}
}
