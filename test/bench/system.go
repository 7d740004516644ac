// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"

	"github.com/vas-solutus/arca-network/internal/testns"
)

// firstPacket sends echo requests from a namespace, one each millisecond, until
// one is answered.
func firstPacket(ns, to string) error {
	if err := within(ns, func() error { return pingTo(to) }); err != nil {
		return fmt.Errorf("from %s: %w", ns, err)
	}
	return nil
}

// within does something on a thread in a network namespace. Sockets that it
// makes stay there.
func within(ns string, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		h, err := netns.GetFromPath(testns.Path(ns))
		if err == nil {
			err = netns.Set(h)
			_ = h.Close()
		}
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

func pingTo(to string) error {
	c, err := icmp.ListenPacket("ip4:icmp", "0.0.0.0")
	if err != nil {
		return err
	}
	defer c.Close()
	request, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: 1}}).Marshal(nil)
	if err != nil {
		return err
	}
	buf := make([]byte, 1500)
	for limit := time.Now().Add(patience); time.Now().Before(limit); {
		_, _ = c.WriteTo(request, &net.IPAddr{IP: net.ParseIP(to)})
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		for {
			n, _, err := c.ReadFrom(buf)
			if err != nil {
				break
			}
			if m, err := icmp.ParseMessage(1, buf[:n]); err == nil && m.Type == ipv4.ICMPTypeEchoReply {
				return nil
			}
		}
	}
	return fmt.Errorf("%s does not answer", to)
}

// smaps reads a figure of a process, in MiB.
func smaps(pid int, field string) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), field+":"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no %s", pid, field)
}

// cpuSeconds is the processor time that a process has used.
func cpuSeconds(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("process %d: no times in %q", pid, raw)
	}
	const hz = 100 // USER_HZ, on every architecture that we run on
	return (user + system) / hz, nil
}
