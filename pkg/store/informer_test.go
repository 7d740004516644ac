// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/pkg/store"
)

// typedWidget is a widget as a controller has it.
type typedWidget struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              typedSpec `json:"spec,omitempty"`
}

type typedSpec struct {
	Size int64  `json:"size,omitempty"`
	Note string `json:"note,omitempty"`
}

func (w *typedWidget) DeepCopyObject() runtime.Object {
	out := &typedWidget{TypeMeta: w.TypeMeta, Spec: w.Spec}
	w.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	return out
}

type typedWidgetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []typedWidget `json:"items"`
}

func (l *typedWidgetList) DeepCopyObject() runtime.Object {
	out := &typedWidgetList{TypeMeta: l.TypeMeta, ListMeta: l.ListMeta}
	for i := range l.Items {
		out.Items = append(out.Items, *l.Items[i].DeepCopyObject().(*typedWidget))
	}
	return out
}

func widgetScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	gv := widgets.GroupVersion()
	scheme.AddKnownTypeWithName(gv.WithKind("Widget"), &typedWidget{})
	scheme.AddKnownTypeWithName(gv.WithKind("WidgetList"), &typedWidgetList{})
	metav1.AddToGroupVersion(scheme, gv)
	return scheme
}

// countLists counts the requests that have the API list widgets.
func countLists(config *rest.Config) *atomic.Int64 {
	var n atomic.Int64
	next := config.Transport
	config.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		q := r.URL.Query()
		if strings.HasSuffix(r.URL.Path, "/widgets") && r.Method == http.MethodGet &&
			(q.Get("watch") == "" || q.Get("sendInitialEvents") == "true") {
			n.Add(1)
		}
		return next.RoundTrip(r)
	})
	return &n
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// startCache runs a cache of widgets until the test ends, and returns it when it
// has read what there is, with the number of lists that the API was asked for.
func startCache(t *testing.T, s *store.Store, scheme *runtime.Scheme) (cache.Cache, *atomic.Int64) {
	t.Helper()
	config := s.Config()
	lists := countLists(config)
	c, err := cache.New(config, cache.Options{Scheme: scheme, NewInformer: s.NewInformer(scheme)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the cache: %v", err)
		}
	})
	if _, err := c.GetInformer(testContext(t), &typedWidget{}); err != nil {
		t.Fatal(err)
	}
	if !c.WaitForCacheSync(testContext(t)) {
		t.Fatal("the cache did not read what there is")
	}
	return c, lists
}

// read returns widgets by name.
func read(t *testing.T, r client.Reader) map[string]typedWidget {
	t.Helper()
	var list typedWidgetList
	if err := r.List(testContext(t), &list); err != nil {
		t.Fatal(err)
	}
	out := map[string]typedWidget{}
	for _, w := range list.Items {
		w.TypeMeta = metav1.TypeMeta{}
		out[w.Name] = w
	}
	return out
}

// TestInformerReadsWhatIsStored: an informer has exactly what the API would have
// given it, over more than a page, and follows from there.
func TestInformerReadsWhatIsStored(t *testing.T) {
	s := startStore(t, store.Options{Dir: t.TempDir()})
	defer stopStore(t, s)
	widgetsOf := widgetClient(t, s.Config())
	createWidgets(t, widgetsOf, 0, 510)
	changed := widget("w-7", 8)
	changed.Object["spec"].(map[string]any)["note"] = "again"
	changed.SetLabels(map[string]string{"a": "b"})
	if _, err := widgetsOf.Apply(testContext(t), "w-7", changed, metav1.ApplyOptions{FieldManager: "test", Force: true}); err != nil {
		t.Fatal(err)
	}

	scheme := widgetScheme()
	c, lists := startCache(t, s, scheme)
	api, err := client.New(s.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	want := read(t, api)
	if len(want) != 510 || want["w-7"].Spec.Note != "again" || len(want["w-7"].ManagedFields) == 0 {
		t.Fatalf("the API has %d widgets, %+v", len(want), want["w-7"])
	}
	for name, got := range read(t, c) {
		if !reflect.DeepEqual(got, want[name]) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("not read: %v", slices.Collect(maps.Keys(want)))
	}

	if err := api.Create(testContext(t), &typedWidget{ObjectMeta: metav1.ObjectMeta{Name: "later"}, Spec: typedSpec{Size: 3}}); err != nil {
		t.Fatal(err)
	}
	if err := api.Delete(testContext(t), &typedWidget{ObjectMeta: metav1.ObjectMeta{Name: "w-9"}}); err != nil {
		t.Fatal(err)
	}
	agree(t, c, api)
	if n := lists.Load(); n != 0 {
		t.Errorf("the API was asked for %d lists", n)
	}
}

// agree waits until a cache has what the API has.
func agree(t *testing.T, c cache.Cache, api client.Reader) {
	t.Helper()
	limit := time.Now().Add(30 * time.Second)
	for {
		have, want := read(t, c), read(t, api)
		if reflect.DeepEqual(have, want) {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("the cache has %d widgets, the API %d", len(have), len(want))
		}
		time.Sleep(20 * time.Millisecond) // a cache has no event for what it lacks
	}
}

// TestInformerMissesNothing: what changes while an informer reads is not lost
// between its list and its watch.
func TestInformerMissesNothing(t *testing.T) {
	s := startStore(t, store.Options{Dir: t.TempDir()})
	defer stopStore(t, s)
	scheme := widgetScheme()
	api, err := client.New(s.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(testContext(t))
	wrote := make(chan error, 1)
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			w := &typedWidget{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("w-", i%20)}, Spec: typedSpec{Size: 1}}
			if err := api.Create(context.Background(), w); err != nil {
				if err = api.Delete(context.Background(), w); err != nil {
					wrote <- err
					return
				}
			}
		}
		wrote <- nil
	}()
	for range 10 {
		c, _ := startCache(t, s, scheme)
		defer agree(t, c, api)
	}
	stop()
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
}

// TestInformerOfDefaults: what is stored of a definition with default values is
// not all that its objects mean, so that the API has to be asked.
func TestInformerOfDefaults(t *testing.T) {
	dir := t.TempDir()
	s := startStore(t, store.Options{Dir: dir})
	createWidgets(t, widgetClient(t, s.Config()), 0, 1)
	stopStore(t, s)

	crd := widgetCRD()
	spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	spec.Properties["note"] = apiextensionsv1.JSONSchemaProps{Type: "string", Default: &apiextensionsv1.JSON{Raw: []byte(`"none"`)}}
	s = startWith(t, store.Options{Dir: dir}, crd)
	defer stopStore(t, s)
	c, lists := startCache(t, s, widgetScheme())
	if w := read(t, c)["w-0"]; w.Spec.Note != "none" {
		t.Errorf("the cache has %+v", w.Spec)
	}
	if lists.Load() == 0 {
		t.Error("the API was not asked for a list")
	}
}
