// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/k3s-io/kine/pkg/drivers"
	"github.com/k3s-io/kine/pkg/drivers/sqlite"
)

func TestEveryCommitIsSynced(t *testing.T) {
	for _, test := range []struct{ name, dsn, want string }{
		{"ours", sqliteDSN(t.TempDir()), ""},
		{"kine's default", filepath.Join(t.TempDir(), databaseFile) + "?" + sqlite.DefaultParams, "synchronous is 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			defer running.Wait()
			defer cancel()
			_, dialect, err := sqlite.NewVariant(ctx, &running, "sqlite3", &drivers.Config{DataSourceName: test.dsn})
			if err != nil {
				t.Fatal(err)
			}
			// Each connection has the setting, not only the first.
			for range 3 {
				conn, err := dialect.DB.Conn(ctx)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				var synchronous int
				if err := conn.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&synchronous); err != nil {
					t.Fatal(err)
				}
				if want := map[bool]int{true: 2, false: 1}[test.want == ""]; synchronous != want {
					t.Errorf("PRAGMA synchronous is %d, want %d", synchronous, want)
				}
			}
			err = checkDurable(ctx, dialect.DB)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("checkDurable: %v, want %q", err, test.want)
			}
		})
	}
}
