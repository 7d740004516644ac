// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package nettest owns what tests need to send traffic between network
// namespaces: namespaces, and clients and servers in them. The server tells the
// client which address it sees. It must not be used outside of tests.
package nettest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netns"
)

// Namespace is a network namespace with a name in /run/netns.
type Namespace struct {
	Name, Path string
	t          testing.TB
	handle     netns.NsHandle
}

// New makes a namespace with lo up, and removes it at the test's end.
func New(t testing.TB, name string) *Namespace {
	t.Helper()
	Run(t, "ip", "netns", "add", name)
	t.Cleanup(func() { Run(t, "ip", "netns", "del", name) })
	n := &Namespace{Name: name, Path: "/run/netns/" + name, t: t}
	var err error
	if n.handle, err = netns.GetFromPath(n.Path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.handle.Close() })
	n.IP("link set lo up")
	return n
}

// Open is a namespace that somebody else made. Of its methods only Do, Listen,
// Dial and Ask may be called.
func Open(name string) (*Namespace, error) {
	n := &Namespace{Name: name, Path: "/run/netns/" + name}
	var err error
	n.handle, err = netns.GetFromPath(n.Path)
	return n, err
}

// Close closes what Open has opened.
func (n *Namespace) Close() error { return n.handle.Close() }

// Host is the namespace that the test runs in.
func Host(t testing.TB) *Namespace {
	t.Helper()
	n := &Namespace{Name: "host", t: t}
	var err error
	if n.handle, err = netns.Get(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.handle.Close() })
	return n
}

// Do runs fn on a thread in the namespace. Sockets that it opens stay there.
func (n *Namespace) Do(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		// The thread is not unlocked, so it ends with the goroutine.
		runtime.LockOSThread()
		if err := netns.Set(n.handle); err != nil {
			done <- fmt.Errorf("entering namespace %s: %w", n.Name, err)
			return
		}
		done <- fn()
	}()
	return <-done
}

// IP runs ip with words in the namespace.
func (n *Namespace) IP(words string) string {
	n.t.Helper()
	return n.Exec(append([]string{"ip"}, strings.Fields(words)...)...)
}

// Exec runs a command in the namespace, which must succeed.
func (n *Namespace) Exec(args ...string) string {
	n.t.Helper()
	if n.Path != "" {
		args = append([]string{"ip", "netns", "exec", n.Name}, args...)
	}
	return Run(n.t, args[0], args[1:]...)
}

// Sysctl writes a switch of the namespace, for example "net/ipv4/ip_forward".
func (n *Namespace) Sysctl(key, value string) {
	n.t.Helper()
	if err := n.Do(func() error { return os.WriteFile("/proc/sys/"+key, []byte(value), 0o644) }); err != nil {
		n.t.Fatal(err)
	}
}

// Run runs a command that must succeed.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
