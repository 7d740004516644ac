// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	_ "github.com/k3s-io/kine/pkg/drivers/sqlite" // registers the SQLite driver
	"golang.org/x/sys/unix"
)

// ErrDamaged is returned when the state database is not what it should be.
// Nothing is repaired, removed or made anew then: a person decides.
var ErrDamaged = errors.New("state database is damaged")

// sqliteDSN is kine's form. synchronous=FULL costs one fsync a write; kine's
// default, NORMAL, loses acknowledged writes when the power fails.
func sqliteDSN(dir string) string {
	return filepath.Join(dir, databaseFile) +
		"?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=30000&_txlock=immediate&_stmt_cache_size=20"
}

// checkDatabase looks at the database of a locked folder before kine does.
// kine would retry a file it cannot open for five minutes, and SQLite would
// make a new database of a missing or empty file.
func checkDatabase(ctx context.Context, dir string, known bool) error {
	file := filepath.Join(dir, databaseFile)
	header, err := readHeader(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !known:
		if _, err := os.Stat(file + "-wal"); err == nil {
			return damaged(file, "it is missing while its write-ahead log is there")
		}
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return damaged(file, "it is missing")
	case err != nil:
		return fmt.Errorf("state database: %w", err)
	case header == "" && !known:
		return nil // a first start that was cut short
	case header == "":
		return damaged(file, "it is empty")
	case header != sqliteHeader:
		return damaged(file, "it does not begin as a SQLite database does")
	}
	if err := quickCheck(ctx, file); err != nil {
		return err
	}
	return nil
}

func damaged(file, why string) error {
	return fmt.Errorf("%w: %s: %s; restore a backup, or, to start with nothing, remove the folder %s",
		ErrDamaged, file, why, filepath.Dir(file))
}

const sqliteHeader = "SQLite format 3\x00"

// readHeader returns the first bytes of a database that nobody has open.
func readHeader(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	header := make([]byte, len(sqliteHeader))
	n, err := io.ReadFull(f, header)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	return string(header[:n]), nil
}

// quickCheck lets SQLite look through a whole database.
func quickCheck(ctx context.Context, file string) error {
	return withDatabase(file, "rw", func(db *sql.DB) error {
		return checkPages(ctx, db, file, "quick_check(1)")
	})
}

func checkPages(ctx context.Context, db *sql.DB, file, pragma string) error {
	var found string
	err := db.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&found)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("checking %s: %w", file, ctx.Err())
	case err != nil && isDamage(err):
		return damaged(file, err.Error())
	case err != nil:
		return fmt.Errorf("checking %s: %w", file, err)
	case found != "ok":
		return damaged(file, found)
	}
	return nil
}

// isDamage tells SQLITE_CORRUPT and SQLITE_NOTADB from errors that will pass,
// by the text that both drivers share.
func isDamage(err error) bool {
	text := err.Error()
	return strings.Contains(text, "malformed") || strings.Contains(text, "not a database")
}

// withDatabase opens a database that exists ("rw", "ro"), never creates one.
func withDatabase(file, mode string, do func(*sql.DB) error) error {
	db, err := sql.Open(sqliteDriver, sqliteURI(file, mode))
	if err != nil {
		return fmt.Errorf("opening %s: %w", file, err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	return do(db)
}

// checkDurable makes sure that a commit is an fsync of the write-ahead log. The
// setting passes through two libraries as text, and losing it would show only
// when the power fails.
func checkDurable(ctx context.Context, db *sql.DB) error {
	var synchronous int
	var journal string
	if err := db.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&synchronous); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&journal); err != nil {
		return err
	}
	const full = 2
	if synchronous < full || journal != "wal" {
		return fmt.Errorf("state database: synchronous is %d and journal_mode is %q, want at least %d (FULL) and \"wal\"",
			synchronous, journal, full)
	}
	return nil
}

// explainFull adds to an error that the disk is full, if it is: SQLite may
// report no more than an I/O error.
func explainFull(err error, dir string) error {
	const little = 256 << 10
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil || fs.Bavail*uint64(fs.Bsize) >= little {
		return err
	}
	return fmt.Errorf("%w (the file system of %s is full)", err, dir)
}
