// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"
)

// revisionLeap is more revisions than a store makes between a backup and its
// restoring, and at 2^23 leaps within an int64 few enough to do it again.
const revisionLeap = 1 << 40

// outdate moves a copy of a database to a revision past all that its store, or what
// was made of it by restoring, can have given out: past restored, the revision of
// the restoring before. What there is stays as it is and everything earlier counts
// as compacted, so that whoever follows changes from an earlier revision is told
// that it is too old, and begins anew. Otherwise it would wait, unsuspecting, for
// revisions that are given a second time.
//
// The clock is for a folder whose record, and with it restored, is lost.
func outdate(ctx context.Context, file string, restored int64, now time.Time) (revision int64, err error) {
	err = withDatabase(file, "rw", func(db *sql.DB) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		var last int64
		if err := tx.QueryRowContext(ctx, "SELECT MAX(id) FROM kine").Scan(&last); err != nil {
			return err
		}
		if last = max(last, restored); last > math.MaxInt64-2*revisionLeap {
			return errors.New("no revisions are left after " + fmt.Sprint(last))
		}
		revision = max(now.Unix()<<20, last+revisionLeap)
		for _, step := range []struct {
			sql  string
			args []any
		}{
			// kine compacts only from the compacted revision on: what it would have
			// removed below goes here. Its own row is a key as any other.
			{"DELETE FROM kine WHERE deleted != 0 OR name = 'compact_rev_key' OR id NOT IN (SELECT MAX(id) FROM kine GROUP BY name)", nil},
			// A row's id is its revision, the largest of them is the present one, and the
			// compacted one is what this row has as its previous. kine's next look at new
			// rows begins at the present one, so that the leap is no gap to it.
			{"INSERT INTO kine(id, name, created, deleted, create_revision, prev_revision, lease, value) VALUES(?, 'compact_rev_key', 1, 0, 0, ?, 0, '')", []any{revision, revision}},
		} {
			if _, err := tx.ExecContext(ctx, step.sql, step.args...); err != nil {
				return err
			}
		}
		return tx.Commit()
	})
	if err != nil {
		return 0, fmt.Errorf("moving its revision on: %w", err)
	}
	return revision, syncFile(file)
}
