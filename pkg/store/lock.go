// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLocked is returned when another process, or another Store of this one,
// uses the state folder.
var ErrLocked = errors.New("state folder is in use")

// folderLock is the right to use a state folder. The kernel gives it back when
// the process ends, however it ends.
type folderLock struct{ file *os.File }

// lockFolder creates the state folder if need be, closes it to others, and
// locks it.
func lockFolder(dir string) (*folderLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	// kine makes state.db readable by everyone; the folder is what protects it.
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	return takeLock(dir, os.O_CREATE)
}

// Lock takes the lock of a state folder as Start does, for who is to end or remove
// what uses it. It makes no folder, and leaves one that no store has filled as it is.
func Lock(dir string) (release func(), err error) {
	if dir, err = absDir(dir); err != nil {
		return nil, err
	}
	create := 0
	if IsState(dir) {
		create = os.O_CREATE
	}
	l, err := takeLock(dir, create)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	return func() { _ = l.release() }, nil
}

// IsState tells whether a folder is one that a store has filled.
func IsState(dir string) bool {
	for _, name := range []string{recordFile, databaseFile} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

func takeLock(dir string, create int) (*folderLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|create, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state folder lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder := readHolder(f)
		f.Close()
		return nil, fmt.Errorf("%w: %s is held by %s; stop it first or choose another folder", ErrLocked, dir, holder)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	// The pid is only there to be shown; a full disk must not prevent a start.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &folderLock{file: f}, nil
}

func readHolder(f *os.File) string {
	text, _ := io.ReadAll(io.LimitReader(f, 32))
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		return fmt.Sprintf("process %d", pid)
	}
	return "another process"
}

func (l *folderLock) release() error { return l.file.Close() }
