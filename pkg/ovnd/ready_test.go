// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"golang.org/x/sys/unix"
)

// holdEnv names the pid file that a copy of this test program holds.
const holdEnv = "ARCA_TEST_HOLD"

// init holds a pid file and runs no test, where that is asked for: it must be
// another process, for a process does not see its own lock.
func init() {
	path := os.Getenv(holdEnv)
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	}
	if err == nil {
		_, err = f.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	}
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString("+")
	time.Sleep(time.Minute) // it is killed before
	os.Exit(1)
}

// holder is a process that keeps a pid file locked, as a daemon does.
func holder(t *testing.T, pidfile string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), holdEnv+"="+pidfile)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// TestUnready: a daemon that runs, but for which what follows its start has
// failed, is not adopted as it is: that is done again. Where it fails for long,
// the daemon is ended.
func TestUnready(t *testing.T) {
	o := &Options{RunDir: t.TempDir(), Dir: t.TempDir()}
	var fails error
	calls := 0
	d := &daemon{name: "x", options: o, log: testr.New(t), ready: func(context.Context) error { calls++; return fails }}
	cmd := holder(t, filepath.Join(o.RunDir, "x.pid"))

	if _, err := d.ensure(t.Context()); err != nil || calls != 0 {
		t.Errorf("one that is found running: error %v, %d calls, want none", err, calls)
	}
	d.unready, fails = time.Now(), errors.New("no")
	if adopted, err := d.ensure(t.Context()); err == nil || !adopted || calls != 1 {
		t.Errorf("one that is not ready: error %v, %d calls, want an error of the first call", err, calls)
	}
	fails = nil
	for range 2 {
		if _, err := d.ensure(t.Context()); err != nil || calls != 2 {
			t.Errorf("one that became ready: error %v, %d calls, want 2 in all", err, calls)
		}
	}
	d.unready, fails = time.Now().Add(-time.Minute), errors.New("no")
	if _, err := d.ensure(t.Context()); err == nil {
		t.Error("one that is not ready for a minute: no error")
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Errorf("one that is not ready for a minute was not killed: %v", err)
	}
}

// TestWaitTwice: a wait that was given up does not spoil the next one.
func TestWaitTwice(t *testing.T) {
	pidfile := filepath.Join(t.TempDir(), "x.pid")
	cmd := holder(t, pidfile)
	p, err := openProcess(pidfile)
	if err != nil || p == nil {
		t.Fatalf("process %v, error %v", p, err)
	}
	defer p.close()
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a process that runs: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- p.wait(t.Context()) }()
	select {
	case err := <-done:
		t.Errorf("the second wait returned at once: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("a process that has ended: %v", err)
	}
}
