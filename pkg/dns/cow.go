// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"hash/maphash"
	"maps"
)

// shards of a cow. A change copies one of them: at 10,000 entries about 160.
const shards = 64

// seed is that of all hashes; it is the process's own, so that nobody can
// choose names that fall into one shard.
var seed = maphash.MakeSeed()

// cow is an immutable map. with and without return a changed copy that shares
// all but one shard with the original. The zero value is empty.
type cow[K comparable, V any] struct {
	parts [shards]map[K]V
}

func (c *cow[K, V]) get(k K) (V, bool) {
	v, ok := c.parts[shard(k)][k]
	return v, ok
}

func (c *cow[K, V]) with(k K, v V) cow[K, V] {
	out, i := *c, shard(k)
	out.parts[i] = maps.Clone(c.parts[i])
	if out.parts[i] == nil {
		out.parts[i] = map[K]V{}
	}
	out.parts[i][k] = v
	return out
}

func (c *cow[K, V]) without(k K) cow[K, V] {
	if _, there := c.get(k); !there {
		return *c
	}
	out, i := *c, shard(k)
	out.parts[i] = maps.Clone(c.parts[i])
	delete(out.parts[i], k)
	if len(out.parts[i]) == 0 {
		out.parts[i] = nil
	}
	return out
}

func shard[K comparable](k K) uint64 { return maphash.Comparable(seed, k) % shards }
