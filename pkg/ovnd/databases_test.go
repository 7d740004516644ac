// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"
)

// TestSaidNo: a database is damaged only where its tool says so.
func TestSaidNo(t *testing.T) {
	late, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	for _, c := range []struct {
		what string
		err  error
		want bool
	}{
		{"it failed", exec.Command("sh", "-c", "exit 1").Run(), true},
		{"its loader misses a library", exec.Command("sh", "-c", "exit 127").Run(), false},
		{"it was killed", exec.Command("sh", "-c", "kill -9 $$").Run(), false},
		{"it had no more time", exec.CommandContext(late, "sleep", "60").Run(), false},
		{"it is not there", exec.Command("/nowhere/ovsdb-tool").Run(), false},
	} {
		if c.err == nil {
			t.Fatalf("%s: no error", c.what)
		}
		if got := saidNo(t.Context(), fmt.Errorf("ovsdb-tool: %w", c.err)); got != c.want {
			t.Errorf("%s (%v): %v, want %v", c.what, c.err, got, c.want)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if saidNo(ended, exec.Command("false").Run()) {
		t.Error("a process that is being ended takes its databases for damaged")
	}
}
