// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
)

// A child that ends is started again, and ends with its supervisor.
func TestSupervise(t *testing.T) {
	dir := t.TempDir()
	program, starts := filepath.Join(dir, "child"), filepath.Join(dir, "starts")
	// Killed twice; the third stays until it is told to end, and says so.
	script := "#!/bin/sh\ntrap 'echo ended >> " + starts + "; exit 0' TERM\necho \"$*\" >> " + starts + "\n[ $(wc -l < " + starts + ") -lt 3 ] && kill -9 $$\nwhile :; do sleep 0.05; done\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	supervised, end := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		c := &child{program: program, arguments: []string{"run", "--flag"}, log: logr.Discard()}
		done <- c.supervise(supervised)
	}()
	said := func() []string {
		b, _ := os.ReadFile(starts)
		return strings.Split(strings.TrimSpace(string(b)), "\n")
	}
	for len(said()) < 3 {
		if ctx.Err() != nil {
			t.Fatalf("it was not started a third time: %q", said())
		}
		time.Sleep(10 * time.Millisecond)
	}
	end()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := strings.Join(said(), ","); got != "run --flag,run --flag,run --flag,ended" {
		t.Errorf("the child said %s", got)
	}
	if err := (&child{program: filepath.Join(dir, "none"), log: logr.Discard()}).supervise(ctx); err == nil {
		t.Error("a program that is not there is no error")
	}
}

func TestValidate(t *testing.T) {
	for name, o := range map[string]options{
		"--listen":              {listen: "tcp://127.0.0.1:2375"},
		"flags of arca-network": {listen: "unix:///x", target: "unix:///y", arguments: []string{"--ovn-root"}},
		"--tls-cert":            {listen: "unix:///x", target: "tcp://h:1"},
		"--verbosity":           {listen: "unix:///x", verbosity: 2},
	} {
		if err := o.validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (&options{listen: "unix:///x"}).validate(); err != nil {
		t.Error(err)
	}
}

// The socket is for its group, and for nobody else.
func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	group, err := user.LookupGroupId("1")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{group.Name, "1"} {
		o := options{listen: "unix://" + path, group: name}
		l, err := o.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o660 || gidOf(info) != 1 {
			t.Errorf("mode %v, group %s", info.Mode(), strconv.Itoa(gidOf(info)))
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := (&options{listen: "unix://" + path, group: "no-such-group"}).open(t.Context()); err == nil {
		t.Error("a group that there is not is accepted")
	}
}

func gidOf(info os.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Gid) }
