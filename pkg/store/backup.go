// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Backup writes a copy of the database in the state folder dir to the file dst,
// which it replaces. The store may be running, in this process or another: the
// copy is the state at one moment, and writes go on meanwhile. When Backup
// returns nil, dst is checked, complete and on disk; otherwise dst is as before.
//
// Only the objects are copied. Certificates belong to the folder, and a
// datastore chosen by Options.Endpoint has its own ways.
func Backup(ctx context.Context, dir, dst string) error {
	dir, err := absDir(dir)
	if err != nil {
		return err
	}
	src := filepath.Join(dir, databaseFile)
	// By name only: opening and closing the file here would drop the locks of a
	// store in this process.
	if info, err := os.Stat(src); err != nil {
		return fmt.Errorf("backup: no state database: %w", err)
	} else if info.Size() == 0 {
		return fmt.Errorf("backup: %w", damaged(src, "it is empty"))
	}
	if dst, err = filepath.Abs(dst); err != nil {
		return err
	}
	copied, err := copyDatabase(ctx, src, "rw", filepath.Dir(dst))
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer os.Remove(copied)
	if err := os.Rename(copied, dst); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return syncFile(filepath.Dir(dst))
}

// copyDatabase makes a consistent copy of a database, checks it, puts it on
// disk, and returns its temporary name in folder.
func copyDatabase(ctx context.Context, src, mode, folder string) (name string, err error) {
	// VACUUM INTO accepts an empty file, which is made for its owner only here.
	f, err := os.CreateTemp(folder, ".state-*.db")
	if err != nil {
		return "", err
	}
	name = f.Name()
	defer func() {
		if err != nil {
			os.Remove(name)
			name = ""
		}
	}()
	if err := f.Close(); err != nil {
		return name, err
	}
	err = withDatabase(src, mode, func(db *sql.DB) error {
		_, err := db.ExecContext(ctx, "VACUUM INTO ?", name)
		if err != nil && ctx.Err() == nil && isDamage(err) {
			return damaged(src, err.Error())
		}
		return err
	})
	if err != nil {
		return name, fmt.Errorf("copying %s: %w", src, err)
	}
	err = withDatabase(name, "ro", func(db *sql.DB) error {
		if err := checkPages(ctx, db, name, "integrity_check(1)"); err != nil {
			return err
		}
		return checkContent(ctx, db, src)
	})
	if err != nil {
		return name, err
	}
	return name, syncFile(name)
}

// checkContent tells a state database from any other.
func checkContent(ctx context.Context, db *sql.DB, file string) error {
	var keys int
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM kine WHERE name LIKE ?", keyPrefix+"/%").Scan(&keys)
	if err != nil {
		return fmt.Errorf("%s is not a state database: %w", file, err)
	}
	if keys == 0 {
		return fmt.Errorf("%s is not a state database: it has no objects of ours", file)
	}
	return nil
}

// Restore replaces the database in the state folder dir by src, a file that
// Backup wrote. It refuses while a store uses the folder, and when src is
// damaged. The database that was there is kept beside it under a name that
// begins with "state.db.before-restore".
//
// Versions go on from one that was never given out: a watch from an earlier one is
// refused as too old, with 410 Gone.
func Restore(ctx context.Context, src, dir string) error {
	dir, err := absDir(dir)
	if err != nil {
		return err
	}
	if src, err = filepath.Abs(src); err != nil {
		return err
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer lock.release()
	if header, err := readHeader(src); err != nil {
		return fmt.Errorf("restore: %w", err)
	} else if header != sqliteHeader {
		return fmt.Errorf("restore: %s is not a backup: it does not begin as a SQLite database does", src)
	}
	copied, err := copyDatabase(ctx, src, "ro", dir)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer os.Remove(copied)
	known, err := readRecord(dir)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if known.Restored, err = outdate(ctx, copied, known.Restored, time.Now()); err != nil {
		return fmt.Errorf("restore: %s: %w", src, err)
	}
	if err := setAside(dir, known); err != nil {
		return fmt.Errorf("restore: keeping the old database: %w", err)
	}
	if err := os.Rename(copied, filepath.Join(dir, databaseFile)); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return syncFile(dir)
}

// setAside renames the old database, the main file first: after a crash between
// the steps it is missing, which Start reports, and never without its log. The
// folder's record says from the first step on that there was one.
func setAside(dir string, known record) error {
	known.Database = true
	if err := known.write(dir); err != nil {
		return err
	}
	base := filepath.Join(dir, databaseFile)
	aside := freeName(base + ".before-restore")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		err := os.Rename(base+suffix, aside+suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncFile(dir)
}

// freeName appends the first number that makes a name that is not taken.
func freeName(base string) string {
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s.%d", base, n)
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name
		}
	}
}
