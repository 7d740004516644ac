// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"errors"
	"os"
	"os/exec"
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
