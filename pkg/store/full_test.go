// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/vas-solutus/arca-network/pkg/store"
	"github.com/vas-solutus/arca-network/pkg/store/internal/smalldisk"
)

// A full disk refuses writes, at once and saying so. Nothing that was
// acknowledged is lost, and when there is space again the store goes on.
func TestFullDisk(t *testing.T) {
	disk := smalldisk.New(t, 16<<20)
	dir := filepath.Join(disk.Dir, "state")
	s := startStore(t, store.Options{Dir: dir})
	client := widgetClient(t, s.Config())
	createWidgets(t, client, 0, 5)
	victim, err := client.Get(testContext(t), "w-0", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	disk.Fill(t, 400_000)
	acknowledged := createUntilFull(t, client)
	t.Logf("%d more objects fitted in", acknowledged)

	if err := unstructured.SetNestedField(victim.Object, strings.Repeat("x", 50_000), "spec", "note"); err != nil {
		t.Fatal(err)
	}
	want := 5 + acknowledged
	refused := map[string]func() error{
		"create": func() error { return createLarge(t, client, "one-more") },
		"update": func() error {
			_, err := client.Update(testContext(t), victim, metav1.UpdateOptions{})
			return err
		},
		"delete": func() error {
			// A small write may fit into what is left. Not five of them.
			for n := range 5 {
				if err := client.Delete(testContext(t), fmt.Sprintf("w-%d", n), metav1.DeleteOptions{}); err != nil {
					return err
				}
				want--
			}
			return nil
		},
		"check": func() error {
			for range 50 {
				if err := s.Check(testContext(t)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	for _, name := range []string{"create", "update", "check", "delete"} {
		err := refused[name]()
		if err == nil || !strings.Contains(err.Error(), "full") {
			t.Errorf("%s on a full disk: %v, want an error that says so", name, err)
		}
		t.Logf("%s: %v", name, err)
	}
	if n := countWidgets(t, client); n != want {
		t.Errorf("%d widgets while the disk is full, want %d", n, want)
	}

	disk.Free(t)
	if err := s.Check(testContext(t)); err != nil {
		t.Errorf("Check when there is space again: %v", err)
	}
	createWidgets(t, client, 5, 10)
	want += 5
	if n := countWidgets(t, client); n != want {
		t.Errorf("%d widgets when there is space again, want %d", n, want)
	}
	stopStore(t, s)
	s = startStore(t, store.Options{Dir: dir})
	defer stopStore(t, s)
	if n := countWidgets(t, widgetClient(t, s.Config())); n != want {
		t.Errorf("%d widgets after a restart, want %d", n, want)
	}
}

func createUntilFull(t *testing.T, client dynamic.ResourceInterface) int {
	t.Helper()
	for n := range 1000 {
		if err := createLarge(t, client, fmt.Sprintf("large-%d", n)); err != nil {
			return n
		}
	}
	t.Fatal("the disk did not get full")
	return 0
}

func createLarge(t *testing.T, client dynamic.ResourceInterface, name string) error {
	t.Helper()
	object := widget(name, 1)
	if err := unstructured.SetNestedField(object.Object, strings.Repeat("x", 50_000), "spec", "note"); err != nil {
		t.Fatal(err)
	}
	_, err := client.Create(testContext(t), object, metav1.CreateOptions{})
	return err
}

func TestStartOnAFullDisk(t *testing.T) {
	disk := smalldisk.New(t, 8<<20)
	used := filepath.Join(disk.Dir, "used")
	s := startStore(t, store.Options{Dir: used})
	createWidgets(t, widgetClient(t, s.Config()), 0, 5)
	stopStore(t, s)
	disk.Fill(t, 0)

	_, err := store.Start(testContext(t), store.Options{Dir: filepath.Join(disk.Dir, "new")})
	if err == nil || !strings.Contains(err.Error(), "space") && !strings.Contains(err.Error(), "full") {
		t.Errorf("first start on a full disk: %v, want an error that says so", err)
	}
	t.Logf("first start: %v", err)
	_, err = store.Start(testContext(t), store.Options{Dir: used})
	if err == nil || !strings.Contains(err.Error(), "full") || !strings.Contains(err.Error(), used) {
		t.Errorf("restart on a full disk: %v, want an error that says so", err)
	}
	t.Logf("restart: %v", err)
	disk.Free(t)
	s = startStore(t, store.Options{Dir: used})
	defer stopStore(t, s)
	if n := countWidgets(t, widgetClient(t, s.Config())); n != 5 {
		t.Errorf("%d widgets when there is space again, want 5", n)
	}
}
