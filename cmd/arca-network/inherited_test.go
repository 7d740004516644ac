// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKeepInherited: what was open when the process was started is not open in what it
// starts.
func TestKeepInherited(t *testing.T) {
	p := make([]int, 2)
	if err := unix.Pipe2(p, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = unix.Close(p[0]), unix.Close(p[1]) }()
	has := func() bool {
		out, err := exec.Command("ls", "-l", "/proc/self/fd").CombinedOutput()
		if err != nil {
			t.Fatal(err, string(out))
		}
		return strings.Contains(string(out), fmt.Sprintf(" %d -> pipe:", p[1]))
	}
	if !has() {
		t.Fatal("a child has not what it would have without")
	}
	if err := keepInherited(); err != nil {
		t.Fatal(err)
	}
	if has() {
		t.Error("a child has what its parent was given")
	}
}
