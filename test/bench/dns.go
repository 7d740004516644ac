// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

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
	all := map[string][]result{} // of each server, one of each row a round
	for range rounds {
		for _, s := range servers {
			measured, err := measureNames(s, questions)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.way, err)
			}
			all[s.way] = append(all[s.way], measured...)
		}
	}
	for _, s := range servers {
		rows := len(all[s.way]) / rounds
		for i, first := range all[s.way][:rows] {
			var values []float64
			for at := i; at < len(all[s.way]); at += rows {
				values = append(values, all[s.way][at].P50)
			}
			r := of(first.Row, first.Unit, values...)
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

// measureNames starts a server, waits for its first answer and measures it: one
// result of one value for each row.
func measureNames(s nameServer, questions string) (results []result, err error) {
	stop, err := s.start()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	time.Sleep(settled) // ours serves names before it has looked at everything else
	samples, err := askInTurn()
	if err != nil {
		return nil, err
	}
	results = answerTimes("one at a time", samples)
	for _, load := range offered {
		if samples, err = askAtRate(questions, load); err != nil {
			return nil, err
		}
		results = append(results, answerTimes(fmt.Sprintf("at %d/s", load), samples)...)
	}
	rate, err := askAtFull(questions)
	return append(results, of(fmt.Sprintf("DNS queries answered, %d at a time", outstanding), "1/s", rate)), err
}

// answerTimes are the rows of what each answer took, in microseconds, at a load.
func answerTimes(load string, samples []float64) []result {
	slices.Sort(samples)
	return []result{
		of("DNS answer p50, "+load, "µs", samples[len(samples)/2]),
		of("DNS answer p99, "+load, "µs", samples[len(samples)*99/100]),
	}
}
