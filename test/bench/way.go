// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"time"

	"github.com/vas-solutus/arca-network/internal/testns"
)

// way is one of the peers. What is made has the names and addresses of
// names.go; namespaces are there before and are part of no figure.
type way interface {
	// start begins with nothing; stop leaves nothing.
	start() error
	stop() error
	// system is the daemons that the way works on.
	system() *daemons
	// bulk makes networks with ten attachments each, and returns when all pass
	// traffic. A way may estimate, and says so.
	bulk(networks int) (seconds float64, estimated bool, err error)
	// network makes one and returns when its rows are committed; attachment
	// when it is up. The others return when nothing is left.
	network(i int) error
	removeNetwork(i int) error
	attachment(i, j int) error
	removeAttachment(i, j int) error
}

// healer is a way that puts a wiped northbound database right; the command line
// keeps nothing that it could be put right from.
type healer interface {
	way
	// heal kills the database server, with the northbound database gone, and
	// returns when it serves again; rewrite returns when all rows are written.
	heal() error
	rewrite(networks int) error
}

// restarter is a way that can end and begin on what is there.
type restarter interface {
	restart(networks int) error
}

// starter is a way that has something to open before it asks for a change.
type starter interface {
	// began is when the last change was asked for.
	began() time.Time
}

// patience bounds each wait for something that takes a moment, and ages for
// what takes as long as OVN needs.
const (
	patience = 30 * time.Second
	ages     = 30 * time.Minute
)

func wayNames() []string {
	return []string{"ours", "floor", "cli", "bare", "bridge", "dnsmasq", "coredns", "engine"}
}

func newWay(name, dir string) (way, error) {
	d := &daemons{dir: dir}
	switch name {
	case "ours":
		return &ours{daemons: d}, nil
	case "floor":
		return &floor{daemons: d}, nil
	case "cli":
		return &cli{daemons: d, floor: floor{daemons: d}}, nil
	}
	return nil, fmt.Errorf("--ways: %q: must be ours, floor or cli", name)
}

// measureWay goes through the rows of the table.
func measureWay(name, dir string, networks int) (results []result, err error) {
	w, err := newWay(name, dir)
	if err != nil {
		return nil, err
	}
	perNetwork = onThisHost(networks)
	for i := range networks {
		for j := range perNetwork {
			if err := testns.Make(containerName(i, j)); err != nil {
				return nil, err
			}
		}
	}
	for s := range *samples {
		if err := testns.Make(containerName(0, 10+s)); err != nil {
			return nil, err
		}
	}
	if err := w.start(); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	defer func() {
		if e := w.stop(); e != nil && err == nil {
			err = fmt.Errorf("stop: %w", e)
		}
	}()
	m := &measurement{way: w, networks: networks}
	for _, step := range []func() error{m.memoryIdle, m.bulk, m.memoryFull, m.latencies, m.calls, m.crowd, m.sync, m.restart, m.heal} {
		if err := step(); err != nil {
			if log, e := os.ReadFile(dir + "/log"); e == nil {
				fmt.Fprintf(os.Stderr, "%s\n", log[max(0, len(log)-4000):])
			}
			return nil, err
		}
	}
	for i := range m.results {
		m.results[i].Size, m.results[i].Way = networks, name
	}
	return m.results, nil
}

// measurement is one way at one size.
type measurement struct {
	way
	networks int
	results  []result
}

func (m *measurement) add(r result) {
	m.results = append(m.results, r)
	fmt.Fprintf(os.Stderr, "bench:   %s: %s %s\n", r.Row, r.cell(true), r.Unit)
}

func milliseconds(do func() error) (float64, error) {
	from := time.Now()
	err := do()
	return float64(time.Since(from).Microseconds()) / 1000, err
}

func (m *measurement) bulk() error {
	seconds, estimated, err := m.way.bulk(m.networks)
	if err != nil {
		return fmt.Errorf("bulk: %w", err)
	}
	r := of("bulk load of everything", "s", seconds)
	r.Estimated = estimated
	m.add(r)
	return m.system().settle()
}

// latencies makes and deletes a network and an attachment, again and again,
// and lets everything come to rest in between.
func (m *measurement) latencies() error {
	var createNet, deleteNet, createAtt, first, deleteAtt []float64
	asked := func(from time.Time) time.Time {
		if s, ok := m.way.(starter); ok {
			return s.began()
		}
		return from
	}
	timed := func(into *[]float64, do func() error) error {
		from := time.Now()
		err := do()
		*into = append(*into, float64(time.Since(asked(from)).Microseconds())/1000)
		return err
	}
	for s := range *samples {
		j := 10 + s
		for _, do := range []func() error{
			func() error { return timed(&createNet, func() error { return m.network(m.networks) }) },
			func() error { return timed(&deleteNet, func() error { return m.removeNetwork(m.networks) }) },
			func() error {
				from := time.Now()
				if err := timed(&createAtt, func() error { return m.attachment(0, j) }); err != nil {
					return err
				}
				err := firstPacket(containerName(0, j), gateway(0))
				first = append(first, float64(time.Since(asked(from)).Microseconds())/1000)
				return err
			},
			func() error { return timed(&deleteAtt, func() error { return m.removeAttachment(0, j) }) },
		} {
			if err := do(); err != nil {
				return fmt.Errorf("sample %d: %w", s, err)
			}
			if err := m.system().settle(); err != nil {
				return err
			}
		}
	}
	m.add(of("create a Network → Programmed", "ms", createNet...))
	m.add(of("delete a Network", "ms", deleteNet...))
	m.add(of("create an Attachment → Ready", "ms", createAtt...))
	m.add(of("create an Attachment → first packet", "ms", first...))
	m.add(of("delete an Attachment", "ms", deleteAtt...))
	return nil
}

func (m *measurement) heal() error {
	h, ok := m.way.(healer)
	if !ok {
		return nil
	}
	from := time.Now()
	if err := h.heal(); err != nil {
		return fmt.Errorf("heal: %w", err)
	}
	served := time.Now()
	if err := h.rewrite(m.networks); err != nil {
		return fmt.Errorf("rewrite: %w", err)
	}
	written := time.Now()
	if err := m.system().allUp(perNetwork * m.networks); err != nil {
		return fmt.Errorf("after the wipe: %w", err)
	}
	if err := m.system().settle(); err != nil {
		return err
	}
	m.add(of("northbound wiped: all rows written", "s", written.Sub(served).Seconds()))
	m.add(of("northbound wiped: full restore", "s", time.Since(from).Seconds()))
	return nil
}

func (m *measurement) restart() error {
	r, ok := m.way.(restarter)
	if !ok {
		return nil
	}
	before, err := m.system().written()
	if err != nil {
		return err
	}
	ms, err := milliseconds(func() error { return r.restart(m.networks) })
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	m.add(of("restart: all adopted", "s", ms/1000))
	after, err := m.system().written()
	if err != nil {
		return err
	}
	bytes := 0
	for _, record := range after[min(len(before), len(after)):] {
		fmt.Fprintf(os.Stderr, "bench:   written: %.200s\n", record)
		bytes += len(record)
	}
	m.add(of("restart: written to the northbound and Open_vSwitch databases", "bytes", float64(bytes)))
	return nil
}

// anonymous is implemented by a way with a process of its own.
type anonymous interface{ pid() int }

func (m *measurement) memoryIdle() error {
	time.Sleep(rest)
	if err := m.memory("idle"); err != nil {
		return err
	}
	p, ok := m.way.(anonymous)
	if !ok {
		return nil
	}
	return m.cpu(p.pid(), "idle")
}

func (m *measurement) memoryFull() error {
	if err := m.memory("full"); err != nil {
		return err
	}
	p, ok := m.way.(anonymous)
	if !ok {
		return nil
	}
	time.Sleep(rest)
	if err := m.cpu(p.pid(), "full"); err != nil {
		return err
	}
	mib, err := smaps(p.pid(), "Anonymous")
	if err != nil {
		return err
	}
	m.add(of("memory of arca-network, full, at rest", "MiB anonymous", mib))
	return nil
}

// rest is how long all is left alone before it is called idle: what has just
// been busy collects, and gives memory back after a while.
const rest = 20 * time.Second

func (m *measurement) memory(when string) error {
	mib, err := m.system().memory()
	if err != nil {
		return err
	}
	m.add(of("memory of OVS and OVN, "+when, "MiB Pss", mib))
	p, ok := m.way.(anonymous)
	if !ok {
		return nil
	}
	if mib, err = smaps(p.pid(), "Anonymous"); err != nil {
		return err
	}
	m.add(of("memory of arca-network, "+when, "MiB anonymous", mib))
	return nil
}

// cpu looks at a process that has nothing to do.
func (m *measurement) cpu(pid int, when string) error {
	const window = 10 * time.Second
	before, err := cpuSeconds(pid)
	if err != nil {
		return err
	}
	time.Sleep(window) // the window is what is measured
	after, err := cpuSeconds(pid)
	if err != nil {
		return err
	}
	m.add(of("processor time of arca-network with nothing to do, "+when, "% of a core", 100*(after-before)/window.Seconds()))
	return nil
}
