// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/k3s-io/kine/pkg/drivers"
	"github.com/k3s-io/kine/pkg/server"
)

// What is read is what kine reads.
func TestReadsAreKines(t *testing.T) {
	var plain server.Backend
	ctx, honest, _ := testBackend(t, func(p server.Backend, d server.Dialect, running *sync.WaitGroup, c *drivers.Config) server.Backend {
		c.CompactInterval = 0
		plain = p
		return newSQLiteBackend(d, running, &watchGate{}, c)
	})
	var last int64
	for n := range 20 {
		rev, err := honest.Create(ctx, fmt.Sprintf("/a/%02d", n), []byte{byte(n)}, 0)
		if err != nil {
			t.Fatal(err)
		}
		switch n % 3 {
		case 1:
			if last, _, _, err = honest.Update(ctx, fmt.Sprintf("/a/%02d", n), []byte("new"), rev, 0); err != nil {
				t.Fatal(err)
			}
		case 2:
			if last, _, _, err = honest.Delete(ctx, fmt.Sprintf("/a/%02d", n), rev); err != nil {
				t.Fatal(err)
			}
		}
	}
	// kine's own stream has a data race; its list reads the same.
	stream := func(b server.Backend, key, end string, limit, revision int64, keysOnly bool) (int64, []*server.KeyValue, error) {
		if b == plain {
			at, kvs, err := b.List(ctx, key, end, limit, revision, keysOnly)
			if err != nil {
				return 0, nil, err
			}
			return at, kvs, nil
		}
		return collect(b.ListStream(ctx, key, end, limit, revision, keysOnly))
	}
	type list func(server.Backend) (int64, []*server.KeyValue, error)
	for name, do := range map[string]list{
		"all": func(b server.Backend) (int64, []*server.KeyValue, error) {
			return b.List(ctx, "/a/", "/a0", 0, 0, false)
		},
		"keys": func(b server.Backend) (int64, []*server.KeyValue, error) {
			return b.List(ctx, "/a/", "/a0", 0, 0, true)
		},
		"limited": func(b server.Backend) (int64, []*server.KeyValue, error) {
			return b.List(ctx, "/a/", "/a0", 4, 0, false)
		},
		"in the past": func(b server.Backend) (int64, []*server.KeyValue, error) {
			return b.List(ctx, "/a/", "/a0", 0, 10, false)
		},
		"none": func(b server.Backend) (int64, []*server.KeyValue, error) {
			return b.List(ctx, "/b/", "/b0", 0, 0, false)
		},
		"in the future": func(b server.Backend) (int64, []*server.KeyValue, error) {
			return b.List(ctx, "/a/", "/a0", 0, last+100, false)
		},
		"stream": func(b server.Backend) (int64, []*server.KeyValue, error) {
			return stream(b, "/a/", "/a0", 0, 0, false)
		},
		"stream keys": func(b server.Backend) (int64, []*server.KeyValue, error) {
			return stream(b, "/a/", "/a0", 3, 0, true)
		},
		"stream none": func(b server.Backend) (int64, []*server.KeyValue, error) {
			return stream(b, "/b/", "/b0", 0, 0, false)
		},
		"stream future": func(b server.Backend) (int64, []*server.KeyValue, error) {
			return stream(b, "/a/", "/a0", 0, last+100, false)
		},
		"one": func(b server.Backend) (int64, []*server.KeyValue, error) {
			rev, kv, err := b.Get(ctx, "/a/01", 0, false)
			return rev, []*server.KeyValue{kv}, err
		},
		"a deleted one": func(b server.Backend) (int64, []*server.KeyValue, error) {
			rev, kv, err := b.Get(ctx, "/a/02", 0, false)
			return rev, []*server.KeyValue{kv}, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			wantRev, want, wantErr := do(plain)
			rev, got, err := do(honest)
			if rev != wantRev || !errors.Is(err, wantErr) || err == nil && len(got) != len(want) {
				t.Fatalf("got %d, %d keys, %v; kine has %d, %d keys, %v", rev, len(got), err, wantRev, len(want), wantErr)
			}
			for n := range got {
				if fmt.Sprint(got[n]) != fmt.Sprint(want[n]) {
					t.Errorf("key %d is %+v; kine has %+v", n, got[n], want[n])
				}
			}
		})
	}
}

func collect(result server.ListResult) (int64, []*server.KeyValue, error) {
	var kvs []*server.KeyValue
	for kv := range result.KVc {
		kvs = append(kvs, kv)
	}
	return result.CurrentRevision, kvs, <-result.Errorc
}

// A read that is cut short is an error, not a shorter list.
func TestInterruptedListIsAnError(t *testing.T) {
	ctx, b, _ := testBackend(t, func(_ server.Backend, d server.Dialect, running *sync.WaitGroup, c *drivers.Config) server.Backend {
		return newSQLiteBackend(d, running, &watchGate{}, c)
	})
	for n := range 500 {
		if _, err := b.Create(ctx, fmt.Sprintf("/a/%03d", n), nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	reading, interrupt := context.WithCancel(ctx)
	result := b.ListStream(reading, "/a/", "/a0", 0, 0, false)
	<-result.KVc
	interrupt()
	read := 1
	for range result.KVc {
		read++
	}
	if err := <-result.Errorc; err == nil && read < 500 {
		t.Errorf("the list ended after %d of 500 keys without an error", read)
	}
}
