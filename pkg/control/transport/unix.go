// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// socketMode lets the owner and the group connect.
const socketMode = 0o660

// unixListener is a listener whose socket file is its own to remove.
type unixListener struct {
	net.Listener
	path string
	made os.FileInfo
	lock *os.File
	once sync.Once
	err  error
}

// listenUnix makes the socket where nobody can see it, gives it its mode, and
// moves it into place: at no moment may somebody connect who must not, and at
// no moment is a stale socket gone and the new one not there.
func listenUnix(path string) (_ net.Listener, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	lock, err := lockSocket(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			unlockSocket(lock)
		}
	}()
	if err := checkStale(path); err != nil {
		return nil, err
	}
	private, err := os.MkdirTemp(filepath.Dir(path), ".sock")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(private)
	folder, err := os.Open(private)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	// The folder's own path may be longer than an address can be.
	short := fmt.Sprintf("/proc/self/fd/%d/s", folder.Fd())
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	u := &unixListener{Listener: l, path: path, lock: lock}
	for _, do := range []func() error{
		func() error { return os.Chmod(short, socketMode) },
		func() error { return os.Rename(filepath.Join(private, "s"), path) },
		func() (err error) { u.made, err = os.Lstat(path); return err },
	} {
		if err := do(); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return u, nil
}

func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close removes the socket, if it is still ours.
func (l *unixListener) Close() error {
	l.once.Do(func() {
		l.err = l.Listener.Close()
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.made) {
			l.err = errors.Join(l.err, os.Remove(l.path))
		}
		unlockSocket(l.lock)
	})
	return l.err
}

// RemoveStale removes the socket that a process has left behind when it was
// killed. One that somebody answers on is an error, none is success.
func RemoveStale(path string) error {
	if _, err := os.Lstat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := lockSocket(path)
	if err != nil {
		return err
	}
	defer unlockSocket(lock)
	if err := checkStale(path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// checkStale tells whether something is in the way of a new socket.
func checkStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and is no socket; remove it, or choose another path", path)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("somebody answers on %s already", path), conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// lockSocket keeps two processes from replacing one socket at the same time.
// The lock's file is removed with the lock, so whoever gets the lock looks
// whether the file is still the one of that name.
func lockSocket(path string) (*os.File, error) {
	name := path + ".lock"
	for {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("%s is in use by another process (%s is locked): %w", path, name, err)
		}
		mine, err := f.Stat()
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		if there, err := os.Stat(name); err == nil && os.SameFile(mine, there) {
			return f, nil
		}
		_ = f.Close()
	}
}

func unlockSocket(f *os.File) {
	_ = os.Remove(f.Name())
	_ = f.Close()
}
