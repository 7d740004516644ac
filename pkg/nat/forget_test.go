// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
)

// TestForgettingTogether: however many come while one walk is under way, the
// next one is for all of them, and each hears of its own walk's error.
func TestForgettingTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var walks [][]netip.Addr
		failure := errors.New("no memory")
		first := make(chan struct{})
		all := []netip.Addr{}
		for i := range byte(100) {
			all = append(all, netip.AddrFrom4([4]byte{10, 0, 0, i}))
		}
		f := forgetter{walk: func(wrong func(flow) bool) (int, error) {
			mu.Lock()
			n := len(walks)
			var found []netip.Addr
			for _, a := range all {
				if wrong(flow{from: netip.AddrPortFrom(a, 1)}) != wrong(flow{server: netip.AddrPortFrom(a, 1)}) {
					t.Errorf("%s: one end is not like the other", a)
				}
				if wrong(flow{from: netip.AddrPortFrom(a, 1)}) {
					found = append(found, a)
				}
			}
			walks = append(walks, found)
			mu.Unlock()
			if n == 0 {
				<-first
				return 0, failure
			}
			return 0, nil
		}}
		results := make(chan error, len(all))
		ask := func(a netip.Addr) { go func() { results <- f.forget(t.Context(), []netip.Addr{a}) }() }
		ask(all[0])
		synctest.Wait() // it walks
		for _, a := range all[1:] {
			ask(a)
		}
		synctest.Wait() // they wait
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.forget(cancelled, all[:1]); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that has gone: %v", err)
		}
		close(first)
		failed := 0
		for range all {
			if err := <-results; errors.Is(err, failure) {
				failed++
			} else if err != nil {
				t.Error(err)
			}
		}
		if failed != 1 || len(walks) != 2 || len(walks[0]) != 1 || len(walks[1]) != 99 {
			t.Errorf("%d callers failed, and %d walks: %v; want 1, and one for 1 and one for 99", failed, len(walks), walks)
		}
	})
}
