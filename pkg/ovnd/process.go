// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// holderOf returns the process that holds a daemon's pid file, or 0. A daemon
// keeps its pid file locked as long as it lives, so a pid that was given to
// another process is never mistaken for it.
func holderOf(pidfile string) (int, error) {
	f, err := os.OpenFile(pidfile, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		return 0, fmt.Errorf("pid file %s: %w", pidfile, err)
	}
	if lock.Type == unix.F_UNLCK {
		return 0, nil
	}
	if lock.Pid > 0 {
		return int(lock.Pid), nil
	}
	// What number it has here nobody tells: that in the file is another process's.
	return 0, fmt.Errorf("pid file %s is held by a process that cannot be seen from this pid namespace: end it there, or name another run folder", pidfile)
}

// process is a running daemon, by a descriptor that stays its own when its pid
// is given to another.
type process struct {
	pid  int
	fd   int // of file, whose Fd method would make it block
	file *os.File
}

// openProcess opens the process that holds a pid file; nil where there is none.
func openProcess(pidfile string) (*process, error) {
	pid, err := holderOf(pidfile)
	if err != nil || pid == 0 {
		return nil, err
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pidfd of %d: %w", pid, err)
	}
	p := &process{pid: pid, fd: fd, file: os.NewFile(uintptr(fd), "pidfd")}
	// Still the holder? Then the descriptor is that of the daemon.
	if again, err := holderOf(pidfile); err != nil || again != pid {
		_ = p.file.Close()
		return nil, err
	}
	return p, nil
}

// wait returns when the process has ended or ctx is done.
func (p *process) wait(ctx context.Context) error {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	// The deadline of a wait before would end this one at once.
	if err := p.file.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = p.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err = raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || (err != nil && err != unix.EINTR)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// signal sends a signal; a process that is gone is no error.
func (p *process) signal(s syscall.Signal) error {
	if err := unix.PidfdSendSignal(p.fd, s, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

func (p *process) close() { _ = p.file.Close() }
