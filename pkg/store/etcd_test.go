// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vas-solutus/arca-network/pkg/store"
	"github.com/vas-solutus/arca-network/pkg/store/storetest"
)

func TestEtcdEndpoint(t *testing.T) {
	url, etcd := storetest.StartEtcd(t)
	dir := t.TempDir()
	began := time.Now()
	s := startStore(t, store.Options{Dir: dir, Endpoint: url})
	t.Logf("start took %v", time.Since(began))
	client := widgetClient(t, s.Config())
	createWidgets(t, client, 0, 5)
	watch, err := client.Watch(testContext(t), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		if event := <-watch.ResultChan(); event.Type != "ADDED" {
			t.Errorf("event %d: %s, want ADDED", n, event.Type)
		}
	}
	if err := s.Check(testContext(t)); err != nil {
		t.Error(err)
	}
	stopStore(t, s)

	// The objects are in etcd: another folder sees them.
	s = startStore(t, store.Options{Dir: t.TempDir(), Endpoint: url})
	if n := countWidgets(t, widgetClient(t, s.Config())); n != 5 {
		t.Errorf("%d widgets, want 5", n)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "state.db*")); len(files) > 0 {
		t.Errorf("a database was made beside etcd: %v", files)
	}
	err = store.Backup(testContext(t), dir, filepath.Join(t.TempDir(), "b"))
	if err == nil || !strings.Contains(err.Error(), "no state database") {
		t.Errorf("Backup: %v, want an error that says that there is nothing of ours", err)
	}

	etcd.Kill()
	if err := s.Check(shortContext(t)); err == nil {
		t.Error("Check without an etcd succeeded")
	}
	stopStore(t, s)
}

func TestEndpointThatDoesNotAnswer(t *testing.T) {
	for _, endpoint := range []string{"http://" + storetest.FreeAddress(t), "nonsense", "unknown://x"} {
		t.Run(endpoint, func(t *testing.T) {
			_, err := store.Start(shortContext(t), store.Options{Dir: t.TempDir(), Endpoint: endpoint})
			if err == nil || !strings.Contains(err.Error(), "datastore") {
				t.Errorf("Start: %v, want an error about the datastore", err)
			}
		})
	}
}

func TestSQLiteEndpoint(t *testing.T) {
	file := filepath.Join(t.TempDir(), "other.db")
	endpoint := fmt.Sprintf("sqlite://%s?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=30000&_txlock=immediate", file)
	s := startStore(t, store.Options{Dir: t.TempDir(), Endpoint: endpoint})
	createWidgets(t, widgetClient(t, s.Config()), 0, 1)
	stopStore(t, s)
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	// What would lose acknowledged writes is refused.
	careless := strings.Replace(endpoint, "FULL", "NORMAL", 1)
	_, err := store.Start(testContext(t), store.Options{Dir: t.TempDir(), Endpoint: careless})
	if err == nil || !strings.Contains(err.Error(), "synchronous") {
		t.Errorf("Start with synchronous=NORMAL: %v, want an error about it", err)
	}
}
