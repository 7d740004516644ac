// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
)

// systemd is told that arcad is ready when both sockets are there, also while
// neither an engine nor arca-network is.
func TestReady(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at("notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	t.Setenv("NOTIFY_SOCKET", at("notify"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	o := &options{listen: "unix://" + at("api"), plugin: "unix://" + at("driver"), engine: "unix://" + at("engine"), target: "unix://" + at("control")}
	go func() { done <- o.run(ctx, logr.Discard()) }()
	said := make([]byte, 64)
	if err := notify.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	n, err := notify.Read(said)
	if err != nil || string(said[:n]) != "READY=1" {
		t.Fatalf("systemd is told %q, %v", said[:n], err)
	}
	for _, name := range []string{"api", "driver"} {
		conn, err := net.Dial("unix", at(name))
		if err != nil {
			t.Error(err)
			continue
		}
		_ = conn.Close()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
