// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovsdbconn_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/vas-solutus/arca-network/internal/ovsdbconn"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
)

func TestMain(m *testing.M) { ovntest.Main(m) }

// connect connects to the stack's northbound database.
func connect(ctx context.Context, s *ovnd.Stack, timeout time.Duration) (*ovsdbconn.Conn, error) {
	return ovsdbconn.Connect(ctx, ovsdbconn.Options{
		Database: "OVN_Northbound", Endpoint: s.Endpoints().NB, Timeout: timeout, Log: logr.Discard(),
		Tables: map[string]ovsdbconn.Table{nbdb.AddressSetTable: {Model: &nbdb.AddressSet{}}},
	}, func(*ovsdbconn.Conn) cache.EventHandler { return &cache.EventHandlerFuncs{} })
}

// addressSets inserts rows of half a kilobyte.
func addressSets(n int) (ops []ovsdb.Operation) {
	for i := range n {
		ops = append(ops, ovsdb.Operation{Op: ovsdb.OperationInsert, Table: nbdb.AddressSetTable, Row: ovsdb.Row{
			"name": fmt.Sprintf("set%d", i), "external_ids": ovsdbconn.Pairs(map[string]string{"filler": fmt.Sprintf("%0500d", i)}),
		}})
	}
	return ops
}

// TestStoppedServer: a transaction that has no room in the socket of a server that
// was stopped has a deadline, and so have the proof of life and the end of the
// connection; the next one works when the server goes on.
func TestStoppedServer(t *testing.T) {
	s := ovntest.Start(t, ovntest.Options(t, testr.New(t)))
	const timeout = time.Second
	c, err := connect(t.Context(), s, timeout)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	for _, part := range s.Components() {
		if part.Name == "ovsdb-server" {
			pid = part.PID
		}
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn := func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	t.Cleanup(goOn)
	serving := make(chan error, 1)
	go func() { serving <- c.Serve(t.Context()) }()
	steps := []struct {
		what string
		do   func() error
		want error
	}{
		{"the transaction", func() error { _, err := c.Transact(t.Context(), addressSets(3000)); return err }, context.DeadlineExceeded},
		{"another one", func() error { _, err := c.Transact(t.Context(), addressSets(1)); return err }, context.DeadlineExceeded},
		{"the proof of life", func() error { _, err := c.Echo(t.Context()); return err }, ovsdbconn.ErrDisconnected},
		{"serving", func() error { return <-serving }, ovsdbconn.ErrDisconnected},
		{"the end", func() error { c.Close(); return nil }, nil},
	}
	for _, step := range steps {
		done := make(chan error, 1)
		go func() { done <- step.do() }()
		select {
		case err := <-done:
			if !errors.Is(err, step.want) {
				t.Errorf("%s: %v, want %v", step.what, err, step.want)
			}
		case <-time.After(20 * time.Second): // many times what it may take
			t.Fatalf("%s does not end", step.what)
		}
	}
	if c.Alive() {
		t.Error("the connection counts as alive")
	}
	goOn()
	next, err := connect(t.Context(), s, 20*time.Second) // the server may have much to read first
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if _, err := next.Transact(t.Context(), addressSets(3001)[3000:]); err != nil {
		t.Error(err)
	}
}
