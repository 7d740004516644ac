// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vas-solutus/arca-network/pkg/store"
)

func TestBackupOfARunningStore(t *testing.T) {
	dir, copies := t.TempDir(), t.TempDir()
	s := startStore(t, store.Options{Dir: dir})
	client := widgetClient(t, s.Config())
	createWidgets(t, client, 0, 20)

	// Writes go on while the copy is made; what was acknowledged before is in it.
	var stop atomic.Bool
	wrote := make(chan int)
	go func() {
		n := 20
		for ; !stop.Load(); n++ {
			createWidgets(t, client, n, n+1)
		}
		wrote <- n
	}()
	dst := filepath.Join(copies, "backup.db")
	for range 3 { // replacing the one before
		if err := store.Backup(testContext(t), dir, dst); err != nil {
			t.Fatalf("Backup: %v", err)
		}
	}
	stop.Store(true)
	total := <-wrote
	if info, err := os.Stat(dst); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup: %v, %v; want mode 600", info, err)
	}
	if left, _ := filepath.Glob(filepath.Join(copies, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// The store is none the worse for it.
	if err := s.Check(testContext(t)); err != nil {
		t.Error(err)
	}
	if err := store.Restore(testContext(t), dst, dir); !errors.Is(err, store.ErrLocked) {
		t.Fatalf("Restore under a running store: %v, want ErrLocked", err)
	}
	if err := client.DeleteCollection(testContext(t), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	stopStore(t, s)

	if err := store.Restore(testContext(t), dst, dir); err != nil {
		t.Fatalf("Restore: %v", err)
	}
	aside, _ := filepath.Glob(filepath.Join(dir, "state.db.before-restore.*"))
	if len(aside) == 0 {
		t.Error("the old database is gone")
	}
	s = startStore(t, store.Options{Dir: dir})
	defer stopStore(t, s)
	n := countWidgets(t, widgetClient(t, s.Config()))
	if n < 20 || n > total {
		t.Errorf("%d widgets after the restore, want between 20 and %d", n, total)
	}
	createWidgets(t, widgetClient(t, s.Config()), total, total+1)
}

func TestRestoreIntoANewFolder(t *testing.T) {
	dir, dst := t.TempDir(), filepath.Join(t.TempDir(), "backup.db")
	s := startStore(t, store.Options{Dir: dir})
	createWidgets(t, widgetClient(t, s.Config()), 0, 3)
	stopStore(t, s)
	if err := store.Backup(testContext(t), dir, dst); err != nil {
		t.Fatalf("Backup of a stopped store: %v", err)
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := store.Restore(testContext(t), dst, other); err != nil {
		t.Fatal(err)
	}
	s = startStore(t, store.Options{Dir: other})
	defer stopStore(t, s)
	if n := countWidgets(t, widgetClient(t, s.Config())); n != 3 {
		t.Errorf("%d widgets, want 3", n)
	}
}

func TestRestoreRefusesWhatIsNoBackup(t *testing.T) {
	dir, folder := t.TempDir(), t.TempDir()
	s := startStore(t, store.Options{Dir: dir})
	createWidgets(t, widgetClient(t, s.Config()), 0, 200)
	stopStore(t, s)
	good := filepath.Join(folder, "good.db")
	if err := store.Backup(testContext(t), dir, good); err != nil {
		t.Fatal(err)
	}
	torn := filepath.Join(folder, "torn.db")
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	copy(data[len(data)/2:], strings.Repeat("garbage", 2000))
	writeTestFile(t, torn, data)
	text := filepath.Join(folder, "text.db")
	writeTestFile(t, text, []byte("hello"))

	for _, src := range []string{torn, text, filepath.Join(folder, "missing.db")} {
		if err := store.Restore(testContext(t), src, dir); err == nil || !strings.Contains(err.Error(), src) {
			t.Errorf("Restore of %s: %v, want an error that names it", src, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".state-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	s = startStore(t, store.Options{Dir: dir})
	defer stopStore(t, s)
	if n := countWidgets(t, widgetClient(t, s.Config())); n != 200 {
		t.Errorf("%d widgets after refused restores, want 200", n)
	}
}

func TestBackupOfNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(testContext(t))
	if err := store.Backup(ctx, t.TempDir(), filepath.Join(t.TempDir(), "b")); err == nil {
		t.Error("an empty folder was backed up")
	}
	dir, dst := t.TempDir(), filepath.Join(t.TempDir(), "b")
	stopStore(t, startStore(t, store.Options{Dir: dir}))
	cancel()
	if err := store.Backup(ctx, dir, dst); err == nil {
		t.Error("Backup ignored that its context had ended")
	}
	if _, err := os.Stat(dst); err == nil {
		t.Error("a backup that failed left a file")
	}
}

func writeTestFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
