// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/vas-solutus/arca-network/internal/testns"
)

// footprintNetworks is large enough for differences to be above the noise.
const footprintNetworks = 50

// footprint counts what our topology costs OVN beside the plain one: switches
// and one router with ports, nothing else.
func footprint(dir string) (results []result, err error) {
	for i := range footprintNetworks {
		for j := range 10 {
			if err := testns.Make(containerName(i, j)); err != nil {
				return nil, err
			}
		}
	}
	for _, w := range []struct {
		name  string
		plain bool
	}{{"ours", false}, {"bare", true}} {
		r, err := topologyCost(&floor{daemons: &daemons{dir: dir + "/" + w.name}, plain: w.plain})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		for i := range r {
			r[i].Way = w.name
		}
		results = append(results, r...)
	}
	return results, nil
}

// cost is what there is at one moment.
type cost struct{ logical, openflow, memory float64 }

func (d *daemons) cost() (cost, error) {
	if err := d.settle(); err != nil {
		return cost{}, err
	}
	logical, openflow, err := d.flows()
	if err != nil {
		return cost{}, err
	}
	mib, err := d.memory()
	return cost{float64(logical), float64(openflow), mib}, err
}

func topologyCost(f *floor) (results []result, err error) {
	if err := f.start(); err != nil {
		return nil, err
	}
	defer func() {
		if e := f.stop(); err == nil {
			err = e
		}
	}()
	empty, err := f.cost()
	if err != nil {
		return nil, err
	}
	for i := range footprintNetworks {
		if err := f.network(i); err != nil {
			return nil, err
		}
	}
	networks, err := f.cost()
	if err != nil {
		return nil, err
	}
	for i := range footprintNetworks {
		for j := range 10 {
			if err := f.attachment(i, j); err != nil {
				return nil, err
			}
		}
	}
	full, err := f.cost()
	if err != nil {
		return nil, err
	}
	// The interfaces of this run are not for the next.
	for i := range footprintNetworks {
		for j := range 10 {
			if err := f.removeAttachment(i, j); err != nil {
				return nil, err
			}
		}
	}
	const n = footprintNetworks
	for _, r := range []struct {
		what              string
		unit              string
		zero, some, whole float64
	}{
		{"logical flows", "flows", empty.logical, networks.logical, full.logical},
		{"OpenFlow flows", "flows", empty.openflow, networks.openflow, full.openflow},
		{"memory of OVS and OVN", "KiB Pss", 1024 * empty.memory, 1024 * networks.memory, 1024 * full.memory},
	} {
		results = append(results,
			of(r.what+" of a Network", r.unit, (r.some-r.zero)/n),
			of(r.what+" of an Attachment", r.unit, (r.whole-r.some)/(10*n)))
	}
	return results, nil
}
