// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/go-logr/logr"
)

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
	// steady is how long a child runs that has not failed at its start.
	steady = 30 * time.Second
	// endTimeout is how long a child has to end by itself.
	endTimeout = 20 * time.Second
)

// child is a program that runs as long as this one does.
type child struct {
	program   string
	arguments []string
	log       logr.Logger
}

// supervise runs the program until ctx is done, and starts it again when it ends,
// after a pause that grows while it does not stay. A program that does not exist
// is an error.
func (c *child) supervise(ctx context.Context) error {
	path, err := exec.LookPath(c.program)
	if err != nil {
		return err
	}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		began := time.Now()
		err := c.once(ctx, path)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > steady {
			pause = firstPause
		}
		c.log.Error(err, "Ended; it is started again", "program", path, "after", pause.String())
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// once runs the program until it ends, or tells it to when ctx is done. The kernel
// tells it where this process is killed; that is bound to the thread that starts it.
func (c *child) once(ctx context.Context, path string) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, path, c.arguments...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endTimeout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	err := cmd.Run()
	if err == nil && ctx.Err() == nil {
		return errors.New("it ended without an error")
	}
	return err
}
