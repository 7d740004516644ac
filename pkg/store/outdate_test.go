// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestOutdate: what there is stays, its past goes, and the revision is past all that
// are known of, whatever the clock shows.
func TestOutdate(t *testing.T) {
	const last = 9
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		last, restored int64
		now            time.Time
		want           int64 // 0: an error
	}{
		"by the clock":            {last, 0, now, now.Unix() << 20},
		"a clock that is not set": {last, 0, time.Unix(60, 0), last + revisionLeap},
		"restored before":         {last, now.Unix() << 20, now, now.Unix()<<20 + revisionLeap},
		"and the clock went back": {last, 5 * revisionLeap, time.Unix(60, 0), 6 * revisionLeap},
		"a backup made after one": {7 * revisionLeap, 5 * revisionLeap, time.Unix(60, 0), 8 * revisionLeap},
		"none are left":           {math.MaxInt64 - revisionLeap, 0, now, 0},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "state.db")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			left := map[string]int64{}
			database(t, file, func(db *sql.DB) {
				exec(t, db, `CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, created INTEGER, deleted INTEGER,
					create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB)`)
				exec(t, db, `INSERT INTO kine(id, name, created, deleted, prev_revision) VALUES
					(1, 'compact_rev_key', 1, 0, 1), (2, 'stays', 1, 0, 0), (3, 'changed', 1, 0, 0), (4, 'gone', 1, 0, 0),
					(5, 'changed', 0, 0, 3), (6, 'gone', 0, 1, 4), (7, 'gap-7', 0, 1, 0)`)
				exec(t, db, "INSERT INTO kine(id, name, created, deleted, prev_revision) VALUES(?, 'last', 1, 0, 0)", c.last)
			})
			got, err := outdate(context.Background(), file, c.restored, c.now)
			if got != c.want || (err != nil) != (c.want == 0) {
				t.Fatalf("outdate: %d, %v; want %d", got, err, c.want)
			}
			if err != nil {
				return
			}
			database(t, file, func(db *sql.DB) {
				rows, err := db.Query("SELECT name, id FROM kine")
				if err != nil {
					t.Fatal(err)
				}
				defer rows.Close()
				for rows.Next() {
					var name string
					var id int64
					if err := rows.Scan(&name, &id); err != nil {
						t.Fatal(err)
					}
					left[name] = id
				}
				var compacted int64
				if err := db.QueryRow("SELECT prev_revision FROM kine WHERE name = 'compact_rev_key'").Scan(&compacted); err != nil || compacted != got {
					t.Errorf("compacted up to %d, %v; want %d", compacted, err, got)
				}
				// The next write's revision.
				exec(t, db, "INSERT INTO kine(name) VALUES('next')")
				var next int64
				if err := db.QueryRow("SELECT id FROM kine WHERE name = 'next'").Scan(&next); err != nil || next != got+1 {
					t.Errorf("the next revision is %d, %v; want %d", next, err, got+1)
				}
			})
			want := map[string]int64{"compact_rev_key": got, "stays": 2, "changed": 5, "last": c.last}
			for name, id := range want {
				if left[name] != id {
					t.Errorf("%s is at %d, want %d", name, left[name], id)
				}
			}
			if len(left) != len(want) {
				t.Errorf("left are %v, want %v", left, want)
			}
		})
	}
}

func database(t *testing.T, file string, do func(*sql.DB)) {
	t.Helper()
	if err := withDatabase(file, "rw", func(db *sql.DB) error { do(db); return nil }); err != nil {
		t.Fatal(err)
	}
}

func exec(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.Exec(statement, args...); err != nil {
		t.Fatal(err)
	}
}
