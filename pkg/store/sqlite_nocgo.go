// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !cgo

package store

import "fmt"

// sqliteDriver is the database/sql driver that kine registers in a build
// without cgo. Only that one may open state.db: SQLite's locks are the
// process's, and a second implementation in the process would drop the first
// one's on close.
const sqliteDriver = "sqlite"

func sqliteURI(file, mode string) string {
	return fmt.Sprintf("file:%s?mode=%s&_pragma=busy_timeout(30000)", file, mode)
}
