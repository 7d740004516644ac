// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	miekg "github.com/miekg/dns"
	"github.com/vishvananda/netns"

	"github.com/vas-solutus/arca-network/internal/testns"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// A name server of the comparison. All listen at the uplink, one at a time, and
// are asked for the same names by the same container through the same gateway.
type nameServer struct {
	way   string
	start func() (stop func() error, err error)
}

// settled is how long a server has been there before it is measured.
const settled = 5 * time.Second

// latencies is how many questions are asked one after the other.
const latencies = 2000

// names measures the name server beside dnsmasq and CoreDNS.
func names(dir string) (results []result, err error) {
	for j := range 10 {
		if err := testns.Make(containerName(0, j)); err != nil {
			return nil, err
		}
	}
	o := &ours{daemons: &daemons{dir: dir}, flags: []string{"--dns-queries-per-second", "0"}}
	if err := o.start(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.stopDaemons()) }()
	ended := false
	end := func() error {
		ended = true
		return errors.Join(o.process.Process.Signal(syscall.SIGTERM), o.process.Wait())
	}
	defer func() {
		if !ended {
			err = errors.Join(err, end())
		}
	}()
	if err := o.network(0); err != nil {
		return nil, err
	}
	for j := range 10 {
		if err := o.attachment(0, j); err != nil {
			return nil, err
		}
	}
	hosts, questions, err := writeNames(dir)
	if err != nil {
		return nil, err
	}
	if err := end(); err != nil { // what it has made goes on
		return nil, err
	}
	servers := []nameServer{
		{"ours", func() (func() error, error) { ended = false; return end, o.begin() }},
		{"dnsmasq", func() (func() error, error) {
			return program("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--addn-hosts="+hosts,
				"--bind-interfaces", "--interface="+topology.UplinkInterface, "--except-interface=lo", "--user=root", "--pid-file=")
		}},
		{"coredns", func() (func() error, error) { return coredns(dir, hosts) }},
	}
	rates, p50s, p99s := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	for range rounds {
		for _, s := range servers {
			rate, p50, p99, err := measureNames(s, questions)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.way, err)
			}
			rates[s.way], p50s[s.way], p99s[s.way] = append(rates[s.way], rate), append(p50s[s.way], p50), append(p99s[s.way], p99)
		}
	}
	for _, s := range servers {
		for _, r := range []result{
			of("DNS queries answered", "1/s", rates[s.way]...),
			of("DNS answer p50, one at a time", "µs", p50s[s.way]...),
			of("DNS answer p99, one at a time", "µs", p99s[s.way]...),
		} {
			r.Way = s.way
			results = append(results, r)
		}
	}
	return results, nil
}

// writeNames writes the names of network 0 for the peers, and the questions.
func writeNames(dir string) (hosts, questions string, err error) {
	var h, q strings.Builder
	for j := range 10 {
		name := containerName(0, j) + "." + networkName(0)
		fmt.Fprintf(&h, "%s %s\n", address(0, j), name)
		fmt.Fprintf(&q, "%s A\n", name)
	}
	hosts, questions = filepath.Join(dir, "hosts"), filepath.Join(dir, "questions")
	return hosts, questions, errors.Join(os.WriteFile(hosts, []byte(h.String()), 0o644), os.WriteFile(questions, []byte(q.String()), 0o644))
}

func coredns(dir, hosts string) (func() error, error) {
	file := filepath.Join(dir, "Corefile")
	text := fmt.Sprintf(".:53 {\n  bind %s\n  hosts %s {\n    ttl 5\n  }\n}\n", topology.UplinkAddresses()[0], hosts)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return program(filepath.Join(*bin, "coredns"), "-conf", file, "-quiet")
}

// program runs one until it is stopped.
func program(name string, args ...string) (func() error, error) {
	var said bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w (hack/deps.sh installs dnsmasq, hack/coredns.sh builds coredns)", err)
	}
	return func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		err := cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) && (exit.ExitCode() == 0 || exit.ExitCode() == 143 || !exit.Exited()) {
			return nil // told to
		}
		if err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, said.String())
		}
		return nil
	}, nil
}

// measureNames starts a server, waits for its first answer and measures it.
func measureNames(s nameServer, questions string) (rate, p50, p99 float64, err error) {
	stop, err := s.start()
	if err != nil {
		return 0, 0, 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	time.Sleep(settled) // ours serves names before it has looked at everything else
	samples, err := askInTurn()
	if err != nil {
		return 0, 0, 0, err
	}
	r := of("", "", samples...) // sorts
	rate, err = dnsperf(questions)
	return rate, r.P50, samples[len(samples)*99/100], err
}

// askInTurn asks from container 1 of network 0, and returns how long each answer
// took, in microseconds. The first answer is waited for and not counted.
func askInTurn() (samples []float64, err error) {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked
		done <- func() error {
			h, err := netns.GetFromPath(testns.Path(containerName(0, 1)))
			if err != nil {
				return err
			}
			defer h.Close()
			if err := netns.Set(h); err != nil {
				return err
			}
			c, err := net.Dial("udp", gateway(0)+":53")
			if err != nil {
				return err
			}
			defer c.Close()
			q, err := new(miekg.Msg).SetQuestion(containerName(0, 0)+"."+networkName(0)+".", miekg.TypeA).Pack()
			if err != nil {
				return err
			}
			buf := make([]byte, 1500)
			ask := func(wait time.Duration) error {
				_ = c.SetDeadline(time.Now().Add(wait))
				if _, err := c.Write(q); err != nil {
					return err
				}
				n, err := c.Read(buf)
				if err != nil {
					return err
				}
				m := new(miekg.Msg)
				if err := m.Unpack(buf[:n]); err != nil || len(m.Answer) != 1 || !strings.HasSuffix(m.Answer[0].String(), address(0, 0)) {
					return fmt.Errorf("wrong answer: %v %w", m, err)
				}
				return nil
			}
			for limit := time.Now().Add(patience); ; {
				if err = ask(50 * time.Millisecond); err == nil {
					break
				}
				if time.Now().After(limit) {
					return err
				}
			}
			for len(samples) < latencies {
				from := time.Now()
				if err := ask(time.Second); err != nil {
					return err
				}
				samples = append(samples, float64(time.Since(from).Nanoseconds())/1e3)
			}
			return nil
		}()
	}()
	return samples, <-done
}

var (
	answeredPerSecond = regexp.MustCompile(`Queries per second:\s+([0-9.]+)`)
	lostQueries       = regexp.MustCompile(`Queries lost:\s+(\d+)`)
	goodAnswers       = regexp.MustCompile(`Response codes:\s+NOERROR \d+ \(100\.00%\)`)
)

// dnsperf asks as fast as it goes and returns the rate of right answers.
func dnsperf(questions string) (float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	raw, err := exec.CommandContext(ctx, "ip", "netns", "exec", containerName(0, 1), "dnsperf", "-s", gateway(0), "-d", questions,
		"-l", fmt.Sprint(int(window.Seconds())), "-c", "4", "-q", "64").Output()
	if err != nil {
		return 0, fmt.Errorf("dnsperf: %w: %s", err, raw)
	}
	rate, lost := answeredPerSecond.FindSubmatch(raw), lostQueries.FindSubmatch(raw)
	if rate == nil || lost == nil || !goodAnswers.Match(raw) {
		return 0, fmt.Errorf("dnsperf said: %s", raw)
	}
	if string(lost[1]) != "0" {
		s := bufio.NewScanner(bytes.NewReader(raw))
		for s.Scan() {
			if strings.Contains(s.Text(), "lost") {
				fmt.Fprintln(os.Stderr, "bench:  ", strings.TrimSpace(s.Text()))
			}
		}
	}
	return strconv.ParseFloat(string(rate[1]), 64)
}
