// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/k3s-io/kine/pkg/drivers"
	"github.com/k3s-io/kine/pkg/drivers/sqlite"
	"github.com/k3s-io/kine/pkg/server"

	"github.com/vas-solutus/arca-network/pkg/store/internal/smalldisk"
)

// testBackend opens kine on a small disk, with compaction all the time.
func testBackend(t *testing.T, wrap func(server.Backend, server.Dialect, *sync.WaitGroup, *drivers.Config) server.Backend) (context.Context, server.Backend, *smalldisk.Disk) {
	t.Helper()
	captureLogs(logr.Discard())
	disk := smalldisk.New(t, 64<<20)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	config := &drivers.Config{
		DataSourceName:  sqliteDSN(disk.Dir),
		CompactInterval: 20 * time.Millisecond, CompactTimeout: time.Second, CompactMinRetain: 10, CompactBatchSize: 100,
		PollBatchSize: 100, PollInterval: 100 * time.Millisecond,
	}
	plain, dialect, err := sqlite.NewVariant(ctx, &running, "sqlite3", config)
	if err != nil {
		t.Fatal(err)
	}
	backend := wrap(plain, dialect, &running, config)
	if err := backend.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx, backend, disk
}

// On a full disk each write of each backend fails, and leaves things as they
// were.
func TestFailedWritesAreErrors(t *testing.T) {
	for name, wrap := range map[string]func(server.Backend, server.Dialect, *sync.WaitGroup, *drivers.Config) server.Backend{
		"sqlite": func(_ server.Backend, d server.Dialect, running *sync.WaitGroup, c *drivers.Config) server.Backend {
			return newSQLiteBackend(d, running, &watchGate{}, c)
		},
		"others": func(plain server.Backend, _ server.Dialect, _ *sync.WaitGroup, c *drivers.Config) server.Backend {
			return verifiedBackend{plain}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, b, disk := testBackend(t, wrap)
			rev, err := b.Create(ctx, "/a", []byte("1"), 0)
			if err != nil {
				t.Fatal(err)
			}
			gone, err := b.Create(ctx, "/gone", nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, done, err := b.Delete(ctx, "/gone", gone); err != nil || !done {
				t.Fatal(done, err)
			}
			disk.Fill(t, 0)
			big := []byte(strings.Repeat("x", 100_000))
			if err := until(func(n int) error { _, err := b.Create(ctx, fmt.Sprint("/fill/", n), big, 0); return err }); err == nil {
				t.Fatal("the disk did not get full")
			}
			for op, do := range map[string]func() error{
				"create":       func() error { _, err := b.Create(ctx, "/b", big, 0); return err },
				"create again": func() error { _, err := b.Create(ctx, "/gone", big, 0); return err },
				"update":       func() error { _, _, _, err := b.Update(ctx, "/a", big, rev, 0); return err },
			} {
				if err := do(); err == nil || errors.Is(err, server.ErrKeyExists) && name == "sqlite" {
					t.Errorf("%s on a full disk: %v, want the reason", op, err)
				}
			}
			if _, kv, err := b.Get(ctx, "/a", 0, false); err != nil || kv == nil || string(kv.Value) != "1" {
				t.Errorf("after the refused update: %v, %v", kv, err)
			}
			disk.Free(t)
			if _, _, done, err := b.Update(ctx, "/a", big, rev, 0); err != nil || !done {
				t.Errorf("update when there is space again: %v, %v", done, err)
			}
			if _, err := b.Create(ctx, "/b", big, 0); err != nil {
				t.Errorf("create when there is space again: %v", err)
			}
			// What is no failure stays none.
			if _, err := b.Create(ctx, "/b", big, 0); !errors.Is(err, server.ErrKeyExists) {
				t.Errorf("create of what is there: %v, want ErrKeyExists", err)
			}
			if _, kv, done, err := b.Update(ctx, "/a", nil, rev, 0); err != nil || done || kv == nil {
				t.Errorf("update of an old revision: %v, %v, %v, want the current value", kv, done, err)
			}
			if _, kv, done, err := b.Delete(ctx, "/a", rev); err != nil || done || kv == nil {
				t.Errorf("delete of an old revision: %v, %v, %v, want the current value", kv, done, err)
			}
		})
	}
}

// kine would end the process when a compaction meets a full disk.
func TestCompactionOutlivesAFullDisk(t *testing.T) {
	ctx, b, disk := testBackend(t, func(_ server.Backend, d server.Dialect, running *sync.WaitGroup, c *drivers.Config) server.Backend {
		return newSQLiteBackend(d, running, &watchGate{}, c)
	})
	value := []byte(strings.Repeat("x", 4_000))
	rev, err := b.Create(ctx, "/a", value, 0)
	if err != nil {
		t.Fatal(err)
	}
	update := func(int) (err error) {
		var done bool
		var next int64
		if next, _, done, err = b.Update(ctx, "/a", value, rev, 0); err == nil && !done {
			err = errors.New("not done")
		}
		if err == nil {
			rev = next
		}
		return err
	}
	for range 50 {
		if err := update(0); err != nil {
			t.Fatal(err)
		}
	}
	disk.Fill(t, 0)
	deadline := time.Now().Add(time.Second) // some fifty compactions
	for time.Now().Before(deadline) {
		_ = until(update)
	}
	disk.Free(t)
	// Compaction goes on as well: history does not stay.
	for range 500 {
		err := update(0)
		for limit := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(limit); {
			err = update(0) // history that compaction has not reached yet may fill the disk again
		}
		if err != nil {
			t.Fatalf("update when there is space again: %v", err)
		}
	}
	var size int64
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if size, err = b.DbSize(ctx); err != nil {
			t.Fatal(err)
		}
		if size < 1<<20 {
			return
		}
		if err := update(0); err != nil { // compaction works up to a later write
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("the database has %d bytes after 500 updates of 4 kB: nothing was compacted", size)
}

// until repeats something, up to a thousand times, until it fails.
func until(do func(n int) error) error {
	for n := range 1000 {
		if err := do(n); err != nil {
			return err
		}
	}
	return nil
}
