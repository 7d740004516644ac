// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"os"
	"path/filepath"
	"testing"
)

// TestBoundLog: a daemon that did not open its log file anew, when that was moved aside,
// is told again; it would write on into the former one.
func TestBoundLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if boundLog(path) {
		t.Error("a small file is to be opened anew")
	}
	if err := os.Truncate(path, maxLog); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"has grown too large", "was moved aside before"} {
		if !boundLog(path) {
			t.Errorf("a file that %s is not to be opened anew", what)
		}
		if _, err := os.Stat(path + ".1"); err != nil {
			t.Error(err)
		}
	}
}
