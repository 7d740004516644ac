// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/vas-solutus/arca-network/pkg/store"
)

// TestRestoreOutdatesEarlierVersions: who followed the objects up to a restore is
// told so, however often the same backup is put back, and goes on from the objects
// that there are then.
func TestRestoreOutdatesEarlierVersions(t *testing.T) {
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "backup.db")
	s := startStore(t, store.Options{Dir: dir})
	client := widgetClient(t, s.Config())
	createWidgets(t, client, 0, 3)
	// A past that the backup has, too.
	if _, err := client.Apply(testContext(t), "w-2", widget("w-2", 2), metav1.ApplyOptions{FieldManager: "test", Force: true}); err != nil {
		t.Fatal(err)
	}
	if err := client.Delete(testContext(t), "w-2", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	versions := []int64{version(t, client)}
	if err := store.Backup(testContext(t), dir, backup); err != nil {
		t.Fatal(err)
	}
	outside, err := clientcmd.BuildConfigFromFlags("", s.KubeconfigPath())
	if err != nil {
		t.Fatal(err)
	}
	informer := follow(t, dynamic.NewForConfigOrDie(outside))
	followed := func(round int, want ...string) {
		t.Helper()
		if round == 0 { // client-go waits longer after each restart that it sees
			informer(t, want...)
		}
	}

	for round := range 3 {
		lost := "lost-" + strconv.Itoa(round)
		if _, err := client.Create(testContext(t), widget(lost, 1), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		followed(round, lost, "w-0", "w-1")
		versions = append(versions, version(t, client))
		stopStore(t, s)
		if err := store.Restore(testContext(t), backup, dir); err != nil {
			t.Fatal(err)
		}
		s = startStore(t, store.Options{Dir: dir})
		client = widgetClient(t, s.Config())
		now := version(t, client)
		for _, v := range versions {
			if v >= now {
				t.Errorf("restore %d: the version is %d, before it was %d", round, now, v)
			}
			wantTooOld(t, client, v)
		}
		followed(round, "w-0", "w-1")
		// A watch from what is the present now misses nothing.
		w, err := client.Watch(testContext(t), metav1.ListOptions{ResourceVersion: strconv.FormatInt(now, 10)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Create(testContext(t), widget("w-2", 1), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if e := next(t, w); e.Type != watch.Added {
			t.Errorf("restore %d: the first event is %s %v, want that w-2 was added", round, e.Type, e.Object)
		}
		w.Stop()
		followed(round, "w-0", "w-1", "w-2")
		if err := client.Delete(testContext(t), "w-2", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(testContext(t)); err != nil {
			t.Error(err)
		}
	}
	stopStore(t, s)
}

// version is that of a list.
func version(t *testing.T, client dynamic.ResourceInterface) int64 {
	t.Helper()
	list, err := client.List(testContext(t), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := strconv.ParseInt(list.GetResourceVersion(), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wantTooOld(t *testing.T, client dynamic.ResourceInterface, version int64) {
	t.Helper()
	w, err := client.Watch(testContext(t), metav1.ListOptions{ResourceVersion: strconv.FormatInt(version, 10)})
	if err == nil {
		defer w.Stop()
		err = apierrors.FromObject(next(t, w).Object)
	}
	if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		t.Errorf("watching from %d: %v, want that it is too old", version, err)
	}
}

// next is an event, or one without an object where none comes.
func next(t *testing.T, w watch.Interface) watch.Event {
	t.Helper()
	select {
	case e := <-w.ResultChan():
		return e
	case <-time.After(10 * time.Second):
		return watch.Event{Type: "none", Object: &metav1.Status{Message: "no event"}}
	}
}

// follow runs an informer until the test ends, and returns what waits until it has
// exactly the widgets of some names.
func follow(t *testing.T, client dynamic.Interface) func(t *testing.T, want ...string) {
	t.Helper()
	factory := dynamicinformer.NewDynamicSharedInformerFactory(client, 0)
	informer := factory.ForResource(widgets).Informer()
	changed := make(chan struct{}, 1)
	kick := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { kick() }, UpdateFunc: func(any, any) { kick() }, DeleteFunc: func(any) { kick() },
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	factory.Start(ctx.Done())
	t.Cleanup(func() {
		cancel()
		factory.Shutdown()
	})
	return func(t *testing.T, want ...string) {
		t.Helper()
		deadline := time.After(2 * time.Minute)
		for {
			have := map[string]bool{}
			for _, key := range informer.GetStore().ListKeys() {
				have[key] = true
			}
			if names := slices.Sorted(maps.Keys(have)); slices.Equal(names, want) {
				return
			}
			select {
			case <-changed:
			case <-deadline:
				t.Fatalf("the informer has %v, want %v", slices.Sorted(maps.Keys(have)), want)
			}
		}
	}
}
