// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// traffic are commands that open connections in namespaces.
func (w *world) traffic() map[string]command {
	return map[string]command{
		// listen NAME PORT: TCP connections are accepted in a namespace, until the story ends.
		"listen": func(ts *testscript.TestScript, _ bool, args []string) {
			var l net.Listener
			ts.Check(within(args[0], func() (err error) {
				l, err = net.Listen("tcp", ":"+args[1])
				return err
			}))
			ts.Defer(func() { _ = l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_ = c.Close()
				}
			}()
		},
		// connects NAME ADDRESS PORT: a TCP connection opens within 30 s, or with ! one becomes impossible.
		"connects": func(ts *testscript.TestScript, neg bool, args []string) {
			for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // nothing tells but an answer
				err := within(args[0], func() error {
					c, err := net.DialTimeout("tcp", net.JoinHostPort(args[1], args[2]), time.Second)
					if err == nil {
						_ = c.Close()
					}
					return err
				})
				if (err != nil) == neg {
					return
				}
				if time.Now().After(limit) {
					ts.Fatalf("from %s to %s port %s: %v", args[0], args[1], args[2], err)
				}
			}
		},
		// norules NAME: a namespace has none of our rules of policy routing, or has none within 30 s.
		"norules": func(ts *testscript.TestScript, _ bool, args []string) {
			for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // nothing tells a test
				left := ""
				ts.Check(within(args[0], func() error {
					rules, err := netlink.RuleList(netlink.FAMILY_ALL)
					for _, r := range rules {
						if r.Protocol == 172 {
							left += r.String() + "\n"
						}
					}
					return err
				}))
				if left == "" {
					return
				}
				if time.Now().After(limit) {
					ts.Fatalf("rules are left:\n%s", left)
				}
			}
		},
		// fits NAME ADDRESS BYTES: a ping with so much data, which may not be fragmented, is answered within 30 s.
		// A kernel keeps what it was told of a smaller MTU for ten minutes, also what it was told just before a
		// network's MTU grew: the sender forgets it after each try.
		"fits": func(ts *testscript.TestScript, _ bool, args []string) {
			pings(ts, args, func(said string) bool {
				if strings.Contains(said, "bytes from") {
					return true
				}
				for _, family := range []string{"-4", "-6"} {
					if out, err := exec.Command("ip", "-n", args[0], family, "route", "flush", "cache").CombinedOutput(); err != nil {
						ts.Fatalf("forgetting MTUs in %s: %v: %s", args[0], err, out)
					}
				}
				return false
			})
		},
		// too-big NAME ADDRESS BYTES MTU: a ping with so much data is not answered; the sender is told the MTU within 30 s.
		"too-big": func(ts *testscript.TestScript, _ bool, args []string) {
			told := regexp.MustCompile(`mtu ?= ?` + args[3] + `\b`)
			pings(ts, args, func(said string) bool {
				if strings.Contains(said, "bytes from") {
					ts.Fatalf("%v: answered:\n%s", args, said)
				}
				return told.MatchString(said)
			})
		},
		// logged REGEXP: arca-network has logged such a line, or does within 30 s.
		"logged": func(ts *testscript.TestScript, _ bool, args []string) {
			re, err := regexp.Compile(args[0])
			ts.Check(err)
			for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
				raw, err := os.ReadFile(filepath.Join(w.dir, "log"))
				ts.Check(err)
				if re.Match(raw) {
					return
				}
				if time.Now().After(limit) {
					ts.Fatalf("nothing like %s was logged", args[0])
				}
			}
		},
	}
}

// pings sends pings that may not be fragmented until enough is true of what ping says.
func pings(ts *testscript.TestScript, args []string, enough func(said string) bool) {
	for limit := time.Now().Add(patience); ; {
		// It fails where nothing answers; what it says tells why.
		out, _ := exec.Command("ip", "netns", "exec", args[0], "ping", "-c", "2", "-i", "0.1", "-W", "1", "-M", "do", "-s", args[2], args[1]).CombinedOutput()
		if enough(string(out)) {
			return
		}
		if time.Now().After(limit) {
			ts.Fatalf("%v: ping said:\n%s", args, out)
		}
	}
}

// within runs f on a thread in a network namespace.
func within(name string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		handle, err := netns.GetFromName(name)
		if err == nil {
			err = netns.Set(handle)
			_ = handle.Close()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}
