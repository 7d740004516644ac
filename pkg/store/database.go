// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver that kine uses, without cgo
)

// databasePath is the SQLite file of a state folder.
func databasePath(dir string) string { return filepath.Join(dir, "state.db") }

// sqlitePragmas: WAL lets readers go on beside the writer. FULL syncs the log
// before a write is acknowledged; with kine's default, NORMAL, a power loss
// takes acknowledged writes along.
const sqlitePragmas = "_journal_mode=WAL&_synchronous=FULL&_busy_timeout=30000&_txlock=immediate&_stmt_cache_size=20"

// checkTimeout bounds the check of a database before it is used. A check of
// 100 MB takes about a second.
const checkTimeout = 2 * time.Minute

// prepareDatabase checks a database before anything writes to it. A file that
// is not there is fine. (kine gives free pages back at its start.)
func prepareDatabase(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if info.Size() == 0 {
		return damaged(path, errors.New("it is empty"))
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := checkDatabase(ctx, path); err != nil {
		return damaged(path, err)
	}
	return nil
}

func damaged(path string, err error) error {
	return fmt.Errorf("database %s is damaged (%w): put a backup in its place with `arca-network restore FILE`, or move it away to start without objects", path, err)
}

// checkDatabase reads all of a database and tells whether it is sound.
func checkDatabase(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return errors.New(verdict)
	}
	var tables int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'kine'").Scan(&tables); err != nil {
		return err
	}
	if tables != 1 {
		return errors.New("it has no table kine")
	}
	return nil
}
