// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"

	"github.com/vas-solutus/arca-network/pkg/ovnd"
)

func TestSmoke(t *testing.T) {
	run, _ := os.MkdirTemp("/run", "arca")
	o := ovnd.Options{Root: "/var/cache/arca-network/proto-root", Dir: t.TempDir(), RunDir: run, Log: testr.New(t)}
	from := time.Now()
	s, err := ovnd.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started %v in %v: %+v", s.Versions(), time.Since(from), s.Components())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	back := make(chan string, 4)
	s.Subscribe(func(c string) { back <- c })
	go func() { done <- s.Run(ctx) }()
	for _, c := range s.Components() {
		from := time.Now()
		p, _ := os.FindProcess(c.PID)
		_ = p.Kill()
		t.Log(<-back, time.Since(from))
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	from = time.Now()
	if err := ovnd.Stop(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped in %v", time.Since(from))
}
