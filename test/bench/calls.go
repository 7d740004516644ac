// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/internal/testns"
	"github.com/vas-solutus/arca-network/pkg/control"
)

// caller is a way that a host daemon can call.
type caller interface {
	way
	dial() (*control.Client, error)
}

func (o *ours) dial() (*control.Client, error) {
	return control.Dial("unix://"+filepath.Join(o.run(), "control.sock"), nil)
}

func bridgeRequest(i int) *controlpb.CreateBridgeRequest {
	return &controlpb.CreateBridgeRequest{NetworkId: networkName(i), Subnet: subnet(i), Manager: manager}
}

func attachRequest(i, j int) *controlpb.AttachContainerRequest {
	name := containerName(i, j)
	r := &controlpb.AttachContainerRequest{
		ContainerId: name, NetworkId: networkName(i), Hostname: name, Ip: address(i, j), Manager: manager,
		Interface: &controlpb.Interface{Type: "Veth", Netns: testns.Path(name)},
	}
	if !isHere(j) {
		r.Node = elsewhere
	}
	return r
}

// daemon is what a host daemon does: for the command line, its scripts.
type daemon struct {
	createBridge, deleteBridge func(i int) error
	attach, detach             func(i, j int) error
}

func (m *measurement) daemon() (d daemon, done func(), err error) {
	c, ok := m.way.(caller)
	if !ok {
		return daemon{m.network, m.removeNetwork, m.attachment, m.removeAttachment}, func() {}, nil
	}
	client, err := c.dial()
	if err != nil {
		return d, nil, err
	}
	bounded := func(do func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(context.Background(), ages)
		defer cancel()
		return do(ctx)
	}
	return daemon{
		createBridge: func(i int) error {
			return bounded(func(ctx context.Context) error { _, err := client.CreateBridge(ctx, bridgeRequest(i)); return err })
		},
		deleteBridge: func(i int) error {
			return bounded(func(ctx context.Context) error {
				_, err := client.DeleteBridge(ctx, &controlpb.DeleteBridgeRequest{NetworkId: networkName(i)})
				return err
			})
		},
		attach: func(i, j int) error {
			return bounded(func(ctx context.Context) error {
				_, err := client.AttachContainer(ctx, attachRequest(i, j))
				return err
			})
		},
		detach: func(i, j int) error {
			return bounded(func(ctx context.Context) error {
				_, err := client.DetachContainer(ctx, &controlpb.DetachContainerRequest{ContainerId: containerName(i, j), NetworkId: networkName(i)})
				return err
			})
		},
	}, func() { _ = client.Close() }, nil
}

// called tells whether a way has a host daemon's side: arca-network has, and the
// command line is what the daemon would run without it.
func (m *measurement) called() bool {
	switch m.way.(type) {
	case caller, *cli:
		return true
	}
	return false
}

// calls measures what a host daemon waits for.
func (m *measurement) calls() error {
	if !m.called() {
		return nil
	}
	d, done, err := m.daemon()
	if err != nil {
		return err
	}
	defer done()
	var create, attach []float64
	for s := range *samples {
		for _, step := range []struct {
			into *[]float64
			do   func() error
		}{
			{&create, func() error { return d.createBridge(m.networks) }},
			{nil, func() error { return d.deleteBridge(m.networks) }},
			{&attach, func() error { return d.attach(0, 10+s) }},
			{nil, func() error { return d.detach(0, 10+s) }},
		} {
			ms, err := milliseconds(step.do)
			if err != nil {
				return fmt.Errorf("sample %d: %w", s, err)
			}
			if step.into != nil {
				*step.into = append(*step.into, ms)
			}
			if err := m.system().settle(); err != nil {
				return err
			}
		}
	}
	m.add(of("CreateBridge over the unix socket", "ms", create...))
	m.add(of("AttachContainer → ready over the unix socket", "ms", attach...))
	return nil
}

// crowd has as many clients as load in bulk attach containers at once, and
// detaches them.
func (m *measurement) crowd() error {
	if !m.called() || *crowd == 0 {
		return nil
	}
	d, done, err := m.daemon()
	if err != nil {
		return err
	}
	defer done()
	// A network's subnet holds so many beside those that are there.
	first := 10 + *samples
	n := min(*crowd, m.networks*(250-first))
	place := func(k int) (i, j int) { return k % m.networks, first + k/m.networks }
	for k := range n {
		if err := testns.Make(containerName(place(k))); err != nil {
			return err
		}
	}
	from := time.Now()
	if err := sideBySide(n, func(k int) error { return d.attach(place(k)) }); err != nil {
		return fmt.Errorf("attaching %d containers: %w", n, err)
	}
	rate := float64(n) / time.Since(from).Seconds()
	if err := sideBySide(n, func(k int) error { return d.detach(place(k)) }); err != nil {
		return fmt.Errorf("detaching %d containers: %w", n, err)
	}
	for k := range n {
		if err := testns.Remove(containerName(place(k))); err != nil {
			return err
		}
	}
	m.add(of(fmt.Sprintf("%d clients attach %d containers", creators, n), "containers/s", rate))
	return m.system().settle()
}

// sideBySide does n things, as many at a time as there are clients.
func sideBySide(n int, do func(int) error) error {
	next := make(chan int)
	errs := make([]error, creators)
	var wg sync.WaitGroup
	for w := range creators {
		wg.Go(func() {
			for k := range next {
				if err := do(k); err != nil && errs[w] == nil {
					errs[w] = err
				}
			}
		})
	}
	for k := range n {
		next <- k
	}
	close(next)
	wg.Wait()
	return errors.Join(errs...)
}

// sync measures a Sync of everything with nothing changed.
func (m *measurement) sync() error {
	c, ok := m.way.(caller)
	if !ok {
		return nil
	}
	client, err := c.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	r := &controlpb.SyncRequest{Manager: manager}
	for i := range m.networks {
		r.Networks = append(r.Networks, bridgeRequest(i))
		for j := range 10 {
			r.Attachments = append(r.Attachments, attachRequest(i, j))
		}
	}
	var seconds []float64
	for range min(*samples, 10) {
		ctx, cancel := context.WithTimeout(context.Background(), ages)
		var res *controlpb.SyncResponse
		ms, err := milliseconds(func() (err error) { res, err = client.Sync(ctx, r); return err })
		cancel()
		if err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		if int(res.Networks.Unchanged) != m.networks || int(res.Attachments.Unchanged) != 10*m.networks {
			return fmt.Errorf("sync has changed what was as asked: %v", res)
		}
		seconds = append(seconds, ms/1000)
	}
	m.add(of("Sync of everything, nothing changed", "s", seconds...))
	return nil
}
