// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr/testr"
)

// scripted is a stack whose programs are these shell scripts, by name.
func scripted(t *testing.T, scripts map[string]string) *Stack {
	t.Helper()
	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write("lib64/ld-linux-none.so.2", `shift 2; exec "$@"`)
	write("usr/lib/none-linux-gnu/empty", "")
	for name, text := range scripts {
		write(filepath.Join("usr", "bin", name), text)
	}
	run, err := os.MkdirTemp("/run", "ovn") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Root: root, Dir: t.TempDir(), RunDir: run, Log: testr.New(t)}
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	s, err := newStack(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.lock.Close(); _ = os.RemoveAll(run) })
	return s
}

// TestReachMissed: while a daemon is connected, nothing is asked and no process is made;
// one that is not is connected, unless it is held.
func TestReachMissed(t *testing.T) {
	said := filepath.Join(t.TempDir(), "said")
	s := scripted(t, map[string]string{"ovs-appctl": `shift 3; echo "$@" >> ` + said})
	asked := func() string {
		t.Helper()
		text, err := os.ReadFile(said)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		_ = os.Remove(said)
		return string(text)
	}
	d := s.daemon("ovs-vswitchd")
	holder(t, d.pidfile())
	listener, err := net.Listen("unix", s.options.path(switchSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()

	if !s.reachMissed(t.Context()) || !strings.Contains(asked(), "ovsdb-server/add-remote "+d.remote(switchSocket)) {
		t.Error("one that waits is not connected")
	}
	s.switchHold.note()
	defer s.switchHold.leave()
	if !s.reachMissed(t.Context()) {
		t.Error("one that is held is to be connected soon")
	}
	if text := asked(); text != "" {
		t.Errorf("one that is held: asked %q", text)
	}
	s.switchHold.held = false

	server, err := net.Dial("unix", s.options.path(switchSocket))
	if err != nil {
		t.Fatal(err)
	}
	if !s.reachMissed(t.Context()) || asked() != "" {
		t.Error("one that has not accepted its connection yet: the server is asked")
	}
	end, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if !s.reachMissed(t.Context()) || asked() != "" {
		t.Error("one that is connected: the server is asked")
	}
	_, _ = server.Close(), end.Close()
	if !s.reachMissed(t.Context()) || !strings.Contains(asked(), "add-remote") {
		t.Error("one whose connection ended is not connected")
	}
}
