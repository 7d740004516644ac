// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vas-solutus/arca-network/pkg/store"
)

// A database that is not what it was is reported, and stays for a person to
// look at.
func TestDamageIsReported(t *testing.T) {
	source := t.TempDir()
	s := startStore(t, store.Options{Dir: source})
	createWidgets(t, widgetClient(t, s.Config()), 0, 300)
	stopStore(t, s)

	for name, damage := range map[string]func(data []byte) []byte{
		"garbage header":   func(data []byte) []byte { copy(data, "garbage garbage garbage"); return data },
		"garbage in pages": func(data []byte) []byte { copy(data[len(data)/3:], bytes.Repeat([]byte("xyz"), 10000)); return data },
		"cut short":        func(data []byte) []byte { return data[:len(data)/2] },
		"empty":            func([]byte) []byte { return nil },
		"missing":          nil,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "state.db")
			// A log that the stop left would be replayed into the damaged file.
			for _, log := range []string{"-wal", "-shm"} {
				if err := os.Remove(file + log); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if damage == nil {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			} else {
				data = damage(data)
				writeTestFile(t, file, data)
			}
			_, err = store.Start(testContext(t), store.Options{Dir: dir})
			if !errors.Is(err, store.ErrDamaged) {
				t.Fatalf("Start: %v, want ErrDamaged", err)
			}
			for _, want := range []string{file, "restore"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if after, err := os.ReadFile(file); damage != nil && (err != nil || !bytes.Equal(after, data)) {
				t.Errorf("the damaged file was changed (%v)", err)
			} else if damage == nil && err == nil {
				t.Error("a new database was made in the place of the missing one")
			}
		})
	}
}

func TestFirstStartThatWasCutShort(t *testing.T) {
	dir := t.TempDir()
	writeTestFile(t, filepath.Join(dir, "state.db"), nil)
	stopStore(t, startStore(t, store.Options{Dir: dir}))
}

func TestCheckNoticesAReplacedDatabase(t *testing.T) {
	dir := t.TempDir()
	s := startStore(t, store.Options{Dir: dir})
	defer stopStore(t, s)
	if err := os.Rename(filepath.Join(dir, "state.db"), filepath.Join(dir, "elsewhere.db")); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(testContext(t)); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("Check: %v, want ErrDamaged", err)
	}
}

func TestStartThatIsGivenUpLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	for _, after := range []time.Duration{0, 20, 50, 80, 120, 160} {
		ctx, cancel := context.WithTimeout(context.Background(), after*time.Millisecond)
		s, err := store.Start(ctx, store.Options{Dir: dir})
		cancel()
		if err == nil {
			stopStore(t, s)
		}
	}
	s := startStore(t, store.Options{Dir: dir})
	defer stopStore(t, s)
	createWidgets(t, widgetClient(t, s.Config()), 0, 1)
}
