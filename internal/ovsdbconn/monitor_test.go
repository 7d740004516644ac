// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovsdbconn_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"

	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
)

// TestGivenUp: who gives up connecting at any moment, also while the first picture
// is being read, is not kept waiting and leaves nothing that two goroutines use.
func TestGivenUp(t *testing.T) {
	s := ovntest.Start(t, ovntest.Options(t, testr.New(t)))
	filler, err := connect(t.Context(), s, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_, err = filler.Transact(t.Context(), addressSets(300))
	filler.Close()
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	c, err := connect(t.Context(), s, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	whole := time.Since(from)
	c.Close()
	const moments = 40
	for i := range moments {
		ctx, cancel := context.WithTimeout(t.Context(), whole*time.Duration(i)/moments)
		if c, err := connect(ctx, s, 20*time.Second); err == nil {
			c.Close()
		}
		cancel()
	}
}
