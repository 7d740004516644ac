// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/vas-solutus/arca-network/pkg/ovnd"
)

// machine is how a machine looks: everything that must be as it was when a
// fault is over, and nothing that may be another.
type machine struct {
	rows      []string // of the northbound database
	ports     []string // of Open vSwitch
	links     []string
	netns     []string
	processes []string
}

// differences tells what is there that was not, and what was there that is not.
func (m machine) differences(now machine) error {
	var errs []error
	for _, part := range []struct {
		what        string
		before, now []string
	}{
		{"northbound row", m.rows, now.rows},
		{"OVS port", m.ports, now.ports},
		{"interface", m.links, now.links},
		{"namespace", m.netns, now.netns},
		{"process", m.processes, now.processes},
	} {
		for _, s := range surplus(part.now, part.before) {
			errs = append(errs, fmt.Errorf("%s more than before: %s", part.what, s))
		}
		for _, s := range surplus(part.before, part.now) {
			errs = append(errs, fmt.Errorf("%s is missing: %s", part.what, s))
		}
	}
	return errors.Join(errs...)
}

// surplus are the elements of a that b does not have, or not as often.
func surplus(a, b []string) (out []string) {
	have := map[string]int{}
	for _, s := range b {
		have[s]++
	}
	for _, s := range a {
		if have[s]--; have[s] < 0 {
			out = append(out, s)
		}
	}
	return out
}

func (w *world) look(ctx context.Context) (m machine, err error) {
	if m.rows, err = w.rows(ctx); err != nil {
		return m, err
	}
	ports, err := w.interfaces(ctx)
	if err != nil {
		return m, err
	}
	m.ports = slices.Sorted(maps.Keys(ports))
	links, err := netlink.LinkList()
	if err != nil {
		return m, err
	}
	for _, l := range links {
		m.links = append(m.links, l.Attrs().Name)
	}
	entries, err := os.ReadDir("/run/netns")
	if err != nil {
		return m, err
	}
	for _, e := range entries {
		m.netns = append(m.netns, e.Name())
	}
	m.processes, err = processes()
	return m, err
}

// processes are the programs of the pid namespace that run, but for the suite's.
func processes() (out []string, err error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	for _, d := range dirs {
		if exe, err := os.Readlink(d + "/exe"); err != nil || exe == self {
			continue // one that has ended has none
		}
		line, err := os.ReadFile(d + "/cmdline")
		if err != nil {
			continue
		}
		// The daemons of a root folder are run by its loader: the first argument
		// that is a program's path is the name.
		name := "?"
		for _, arg := range strings.Split(string(line), "\x00") {
			if base := filepath.Base(arg); slices.Contains(daemonNames, base) || base == "arca-network" {
				name = base
				break
			}
		}
		if name == "?" {
			name = strings.ReplaceAll(string(line), "\x00", " ")
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return out, nil
}

// ovsInterface is what Open vSwitch says of a port.
type ovsInterface struct {
	ofport    float64
	installed bool
	err       string
}

// interfaces are those of Open vSwitch, by name.
func (w *world) interfaces(ctx context.Context) (map[string]ovsInterface, error) {
	t, err := w.query(ctx, "Open_vSwitch", "Interface")
	if err != nil {
		return nil, err
	}
	out := map[string]ovsInterface{}
	for _, row := range t["Interface"] {
		i := ovsInterface{}
		i.ofport, _ = row["ofport"].(float64)
		i.err, _ = row["error"].(string)
		for k, v := range pairs(row["external_ids"]) {
			i.installed = i.installed || k == "ovn-installed" && v == "true"
		}
		name, _ := row["name"].(string)
		out[name] = i
	}
	return out, nil
}

// plugged fails where an attachment's port does not pass traffic, or there is a
// port without an attachment.
func (w *world) plugged(ctx context.Context) error {
	ports, err := w.interfaces(ctx)
	if err != nil {
		return err
	}
	_, attachments, err := w.lists(ctx)
	if err != nil {
		return err
	}
	for _, a := range attachments {
		p, found := ports[a.Status.PortName]
		switch {
		case !found:
			err = errors.Join(err, fmt.Errorf("attachment %s: no OVS port %q", a.Name, a.Status.PortName))
		case p.ofport <= 0 || !p.installed || p.err != "":
			err = errors.Join(err, fmt.Errorf("attachment %s: OVS port %s is not ready: %+v", a.Name, a.Status.PortName, p))
		}
		delete(ports, a.Status.PortName)
	}
	for name := range ports {
		if !slices.Contains(w.atRest.ports, name) && name != ovnd.Bridge {
			err = errors.Join(err, fmt.Errorf("OVS port %s belongs to no attachment", name))
		}
	}
	return err
}

// barrier returns when the switches have all that is in the databases.
func (w *world) barrier(ctx context.Context) error {
	seconds := "--timeout=20"
	if _, err := w.tool(ctx, "ovn-nbctl", "--db="+w.endpoint(), seconds, "--wait=hv", "sync"); err != nil {
		return err
	}
	_, err := w.tool(ctx, "ovs-vsctl", "--db="+w.endpoint(), seconds, "init")
	return err
}

// nothingOfOurs waits until neither OVN nor Open vSwitch has anything of an
// object that was deleted.
func (w *world) nothingOfOurs(ctx context.Context) error {
	return until(ctx, "nothing to be left of what was deleted", func() error {
		rows, err := w.rows(ctx)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if strings.Contains(r, "Network") || strings.Contains(r, "Attachment") {
				err = errors.Join(err, fmt.Errorf("northbound row %s", r))
			}
		}
		return errors.Join(err, w.plugged(ctx))
	})
}

// emptyMachine fails where a process, an interface or the run folder is left.
func emptyMachine(run string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return until(ctx, "the machine to be as it was", func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			if l.Attrs().Name != "lo" {
				err = errors.Join(err, fmt.Errorf("interface %s is left", l.Attrs().Name))
			}
		}
		left, e := processes()
		err = errors.Join(err, e)
		for _, p := range left {
			err = errors.Join(err, fmt.Errorf("process %s is left", p))
		}
		if _, e := os.Stat(run); e == nil {
			err = errors.Join(err, fmt.Errorf("folder %s is left", run))
		}
		return err
	})
}
