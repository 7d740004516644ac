// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// NewInformer makes the informers of a cache in this process, as controller-runtime's
// cache.Options.NewInformer does. They read what there is from the datastore itself
// and watch the API from there on. The API decodes each object, checks it against
// its schema twice, and encodes it, to be decoded again: half of what a start with
// many objects takes.
//
// A definition with default values or of several versions means more than what is
// stored: its objects are read through the API.
func (s *Store) NewInformer(scheme *apiruntime.Scheme) func(cache.ListerWatcher, apiruntime.Object, time.Duration, cache.Indexers) cache.SharedIndexInformer {
	return func(api cache.ListerWatcher, example apiruntime.Object, resync time.Duration, indexers cache.Indexers) cache.SharedIndexInformer {
		if gvk, err := apiutil.GVKForObject(example, scheme); err == nil {
			if prefix, plain := s.plain[gvk]; plain {
				api = &directLister{ListerWatcher: api, etcd: s.health.etcd, prefix: prefix, kind: gvk, scheme: scheme}
			}
		}
		return cache.NewSharedIndexInformer(api, example, resync, indexers)
	}
}

// plainKinds are those whose objects are what is stored of them, with the prefix of
// their keys.
func plainKinds(crds []*apiextensionsv1.CustomResourceDefinition) map[schema.GroupVersionKind]string {
	out := map[schema.GroupVersionKind]string{}
	for _, crd := range crds {
		s := crd.Spec
		if len(s.Versions) != 1 || s.Scope != apiextensionsv1.ClusterScoped || s.Versions[0].Schema == nil ||
			hasDefault(s.Versions[0].Schema.OpenAPIV3Schema) {
			continue
		}
		out[schema.GroupVersionKind{Group: s.Group, Version: s.Versions[0].Name, Kind: s.Names.Kind}] =
			keyPrefix + "/" + s.Group + "/" + s.Names.Plural + "/"
	}
	return out
}

// hasDefault tells whether a schema fills in what is left out.
func hasDefault(s *apiextensionsv1.JSONSchemaProps) bool {
	if s == nil {
		return false
	}
	if s.Default != nil || s.Items != nil && hasDefault(s.Items.Schema) ||
		s.AdditionalProperties != nil && hasDefault(s.AdditionalProperties.Schema) {
		return true
	}
	for _, p := range s.Properties {
		if hasDefault(&p) {
			return true
		}
	}
	return false
}

// directLister lists from the datastore, and watches the API.
type directLister struct {
	cache.ListerWatcher
	etcd   *clientv3.Client
	prefix string
	kind   schema.GroupVersionKind
	scheme *apiruntime.Scheme
}

var _ cache.ListerWatcherWithContext = (*directLister)(nil)

// IsWatchListSemanticsUnSupported has reflectors list and then watch, rather than
// have the list sent as events of a watch.
func (l *directLister) IsWatchListSemanticsUnSupported() bool { return true }

// List implements cache.ListerWatcher.
func (l *directLister) List(o metav1.ListOptions) (apiruntime.Object, error) {
	return l.ListWithContext(context.Background(), o)
}

// ListWithContext implements cache.ListerWatcherWithContext. It returns all at
// once and as it is now, whatever page and revision are asked for. Where the
// datastore cannot be read, or holds what it should not, the API has to say so.
func (l *directLister) ListWithContext(ctx context.Context, o metav1.ListOptions) (apiruntime.Object, error) {
	if o.LabelSelector == "" && o.FieldSelector == "" && o.Continue == "" {
		ctx, cancel := context.WithTimeout(ctx, listTimeout)
		defer cancel()
		if list, err := l.list(ctx); err == nil {
			return list, nil
		}
	}
	return cache.ToListerWatcherWithContext(l.ListerWatcher).ListWithContext(ctx, o)
}

// WatchWithContext implements cache.ListerWatcherWithContext.
func (l *directLister) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	return cache.ToListerWatcherWithContext(l.ListerWatcher).WatchWithContext(ctx, o)
}

const (
	listTimeout = 30 * time.Second
	// pageSize objects are read at once: while one page is decoded the next is read.
	pageSize = 500
)

func (l *directLister) list(ctx context.Context) (*metainternal.List, error) {
	var (
		decoding errgroup.Group
		pages    [][]apiruntime.Object
		revision int64
		end      = clientv3.GetPrefixRangeEnd(l.prefix)
	)
	decoding.SetLimit(runtime.GOMAXPROCS(0))
	for from, more := l.prefix, true; more; {
		page, err := l.etcd.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(pageSize), clientv3.WithRev(revision))
		if err != nil {
			return nil, err
		}
		if revision == 0 {
			revision = page.Header.Revision
		}
		n := len(page.Kvs)
		if more = page.More && n > 0; more {
			from = string(page.Kvs[n-1].Key) + "\x00"
		}
		objects := make([]apiruntime.Object, n)
		pages = append(pages, objects)
		decoding.Go(func() (err error) {
			for i, kv := range page.Kvs {
				if objects[i], err = l.decode(kv.Value, kv.ModRevision); err != nil {
					return fmt.Errorf("%s: %w", kv.Key, err)
				}
			}
			return nil
		})
	}
	if err := decoding.Wait(); err != nil {
		return nil, err
	}
	list := &metainternal.List{ListMeta: metav1.ListMeta{ResourceVersion: strconv.FormatInt(revision, 10)}}
	for _, p := range pages {
		list.Items = append(list.Items, p...)
	}
	return list, nil
}

// decode makes of what is stored what a typed client makes of the API's answer.
func (l *directLister) decode(value []byte, revision int64) (apiruntime.Object, error) {
	into, err := l.scheme.New(l.kind)
	if err != nil {
		return nil, err
	}
	o, ok := into.(client.Object)
	if !ok {
		return nil, fmt.Errorf("%T is no object", into)
	}
	if err := utiljson.Unmarshal(value, o); err != nil {
		return nil, err
	}
	if stored := o.GetObjectKind().GroupVersionKind(); stored != l.kind {
		return nil, fmt.Errorf("a %s, not a %s", stored, l.kind)
	}
	o.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	o.SetResourceVersion(strconv.FormatInt(revision, 10))
	return o, nil
}
