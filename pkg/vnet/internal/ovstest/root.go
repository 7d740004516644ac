// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ovstest runs a real Open vSwitch for tests: in network, mount and
// process namespaces of the test binary's own, so that nothing of the machine is
// touched and nothing is left.
package ovstest

import (
	"os"
	"path/filepath"
	"testing"
)

// Root is where the Open vSwitch to test with is: a Debian root folder, or the
// empty string for the system itself. The test fails if there is none.
func Root(t testing.TB) string {
	t.Helper()
	if r := os.Getenv("ARCA_OVN_ROOT"); r != "" {
		if !hasOVS(r) {
			t.Fatalf("ARCA_OVN_ROOT=%s has no ovsdb-server: make it with hack/ovn-root.sh", r)
		}
		return r
	}
	for _, r := range []string{"/var/cache/arca-network/ovn-root", ""} {
		if hasOVS(r) {
			return r
		}
	}
	t.Fatal("no Open vSwitch to test with: make a root folder with hack/ovn-root.sh, or install openvswitch-switch")
	return ""
}

func hasOVS(root string) bool {
	_, err := os.Stat(filepath.Join(root, "/usr/sbin/ovsdb-server"))
	return err == nil
}

// command is the argument vector that runs a program of the root, with the
// root's own loader and libraries.
func command(root, path string, args ...string) []string {
	if root == "" {
		return append([]string{path}, args...)
	}
	libs := filepath.Join(root, "lib/x86_64-linux-gnu") + ":" + filepath.Join(root, "usr/lib/x86_64-linux-gnu")
	return append([]string{
		filepath.Join(root, "lib64/ld-linux-x86-64.so.2"), "--library-path", libs, filepath.Join(root, path),
	}, args...)
}

// vswitchd is where Debian's alternatives point to inside the root.
func vswitchd(root string) string {
	const debian = "/usr/lib/openvswitch-switch/ovs-vswitchd"
	if _, err := os.Stat(filepath.Join(root, debian)); err == nil {
		return debian
	}
	return "/usr/sbin/ovs-vswitchd"
}
