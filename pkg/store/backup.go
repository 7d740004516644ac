// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Backup writes a consistent copy of the store of a state folder into a file,
// whether the store is in use or not. The copy is whole and on disk when
// Backup returns; an error leaves no file behind.
func Backup(ctx context.Context, dir, dst string) error {
	src := databasePath(dir)
	if _, err := os.Stat(src); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if _, err := os.Stat(dst); err == nil {
		return fmt.Errorf("%s exists already: name another file", dst)
	}
	part := dst + ".part"
	_ = os.Remove(part)
	defer os.Remove(part)
	db, err := sql.Open("sqlite", src+"?_pragma=busy_timeout(30000)")
	if err != nil {
		return fmt.Errorf("store %s: %w", src, err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", part); err != nil {
		return fmt.Errorf("copying %s to %s: %w", src, part, err)
	}
	if err := os.Chmod(part, 0o600); err != nil {
		return err
	}
	if err := checkDatabase(ctx, part); err != nil {
		return fmt.Errorf("the copy %s is not sound: %w", part, err)
	}
	return moveInPlace(part, dst)
}

// Restore puts a backup in the place of the store of a state folder that no
// process uses. What was there is kept beside it.
func Restore(ctx context.Context, src, dir string) error {
	if err := checkDatabase(ctx, src); err != nil {
		return fmt.Errorf("%s is not a backup: %w", src, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	lock, err := acquireLock(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	dst := databasePath(dir)
	part := dst + ".part"
	if err := copyFile(src, part); err != nil {
		return fmt.Errorf("copying %s: %w", src, err)
	}
	defer os.Remove(part)
	aside := dst + time.Now().UTC().Format(".20060102T150405Z")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(dst+suffix, aside+suffix); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("keeping the former store: %w", err)
		}
	}
	return moveInPlace(part, dst)
}

func copyFile(src, dst string) error {
	data, err := os.ReadFile(src)
	if err != nil {
		return err
	}
	return os.WriteFile(dst, data, 0o600)
}

// moveInPlace makes a finished file appear under its name, durably.
func moveInPlace(part, dst string) error {
	if err := syncPath(part); err != nil {
		return err
	}
	if err := os.Rename(part, dst); err != nil {
		return err
	}
	return syncPath(filepath.Dir(dst))
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", path, err)
	}
	return nil
}
