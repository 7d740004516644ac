// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"testing"
)

// Who wants something that may still be taken waits for what is on its way out,
// there or anywhere, and for nothing that begins later.
func TestRemovalsAreAwaited(t *testing.T) {
	r := &removals{}
	r.await(t.Context(), "") // there are none
	n1, n2 := r.begin("n1"), r.begin("n2")
	awaited := func(network string) <-chan struct{} {
		done := make(chan struct{})
		began := make(chan struct{})
		go func() {
			defer close(done)
			close(began)
			r.await(t.Context(), network)
		}()
		<-began
		return done
	}
	r.await(t.Context(), "n3")
	n2()
	r.await(t.Context(), "n2")
	one, all := awaited("n1"), awaited("")
	select {
	case <-one:
		t.Error("it did not wait for the network's")
	case <-all:
		t.Error("it did not wait for all")
	default:
	}
	n1()
	<-one
	<-all
	defer r.begin("n1")()
	given, up := context.WithCancel(t.Context())
	up()
	r.await(given, "n1")
}
