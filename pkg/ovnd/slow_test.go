// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestLargeDatabase: a program that reads a file may take as long as the file is large.
// One that takes longer says nothing of the file.
func TestLargeDatabase(t *testing.T) {
	const slow = "sleep 1.5"
	s := scripted(t, map[string]string{"ovsdb-tool": `[ "$1" != query ] || ` + slow, "ovsdb-server": slow})
	s.programs.limit = time.Second
	file := filepath.Join(s.options.Dir, "nb.db")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	reads := map[string]func() error{
		"looking at it": func() error {
			_, err := databaseFiles[1].prepare(t.Context(), s.programs, s.options.Dir, false, s.options.Log)
			return err
		},
		"serving it": func() error { return s.daemon("ovsdb-server").launch(t.Context(), nil) },
	}
	for what, read := range reads {
		if err := read(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s, a small file: error %v, want %v", what, err, context.DeadlineExceeded)
		}
	}
	if err := os.Truncate(file, 60<<20); err != nil {
		t.Fatal(err)
	}
	for what, read := range reads {
		if err := read(); err != nil {
			t.Errorf("%s, a large file: %v", what, err)
		}
	}
	if left, err := os.ReadDir(s.options.Dir); err != nil || len(left) != 1 {
		t.Errorf("error %v, files %v, want the database alone", err, left)
	}
}

// TestStartThatIsCut: where a daemon takes too long to start, or nobody waits for it any
// more, nothing of it is left to be adopted.
func TestStartThatIsCut(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := scripted(t, map[string]string{"ovn-northd": holdEnv + `=${3#--pidfile=} ` + exe + ` > /dev/null & wait`})
	d := s.daemon("ovn-northd")
	d.connect = nil
	if err := os.Mkdir(filepath.Join(s.options.Dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- d.start(ctx) }()
	var left *process
	for left == nil { // it tells nobody
		if left, err = openProcess(d.pidfile()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			t.Fatalf("it was not started: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	defer left.close()
	cancel()
	if err := <-done; err == nil {
		t.Error("no error")
	}
	limit, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	if err := left.wait(limit); err != nil {
		t.Errorf("what was being started goes on: %v", err)
		_ = d.killLeft()
	}
}
