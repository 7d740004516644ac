// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// containerPort is where the containers' servers listen.
const containerPort = 80

// published measures how long it takes from asking for a published port of a
// container that is there until a client in the world has a connection: by the
// API, and beside it by the nft command.
func published(o *ours) ([]result, error) {
	for _, container := range []string{containerName(0, 0), peerContainer} {
		done, err := acceptAll(container)
		if err != nil {
			return nil, err
		}
		defer done()
	}
	var our, peer []float64
	for s := range *samples {
		port := 20000 + s
		ms, err := untilConnected("inet", port, func() error { return o.publish(port) })
		if err != nil {
			return nil, fmt.Errorf("sample %d: %w", s, err)
		}
		our = append(our, ms)
		ms, err = untilConnected(peerWorld, port, func() error {
			return peerNft(fmt.Sprintf("add rule ip peer prerouting tcp dport %d dnat to %s:%d", port, peerAddress, containerPort))
		})
		if err != nil {
			return nil, fmt.Errorf("sample %d of the command line: %w", s, err)
		}
		peer = append(peer, ms)
	}
	const row = "publish a port → a connection from the world"
	ours, cli := of(row, "ms", our...), of(row, "ms", peer...)
	ours.Way, cli.Way = "ours", "cli"
	return []result{ours, cli}, nil
}

// publish makes a port the one that the container publishes.
func (o *ours) publish(port int) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a := &v1alpha1.Attachment{}
	a.Name = attachmentName(0, 0)
	patch := fmt.Sprintf(`{"spec":{"ports":[{"hostPort":%d,"containerPort":%d}]}}`, port, containerPort)
	return o.api.Patch(ctx, a, client.RawPatch("application/merge-patch+json", []byte(patch)))
}

// acceptAll has a server in a container that accepts connections and ends them.
func acceptAll(container string) (done func(), err error) {
	var l net.Listener
	if err := within(container, func() (err error) {
		l, err = net.Listen("tcp4", fmt.Sprint(":", containerPort))
		return err
	}); err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	return func() { _ = l.Close() }, nil
}

// untilConnected does something, and takes the time from its beginning until a
// client connects to a port of the host. Before that, the host refuses.
func untilConnected(from string, port int, do func() error) (float64, error) {
	to := net.JoinHostPort(hostOutside, fmt.Sprint(port))
	if err := within(from, func() error { return connect(to) }); err == nil {
		return 0, fmt.Errorf("%s answers already", to)
	}
	connected := make(chan error, 1)
	began := time.Now()
	go func() {
		connected <- within(from, func() (err error) {
			for limit := began.Add(patience); time.Now().Before(limit); time.Sleep(100 * time.Microsecond) { // nothing tells but a connection
				if err = connect(to); err == nil {
					return nil
				}
			}
			return err
		})
	}()
	if err := do(); err != nil {
		return 0, err
	}
	err := <-connected
	return float64(time.Since(began).Microseconds()) / 1000, err
}

func connect(to string) error {
	c, err := net.DialTimeout("tcp4", to, time.Second)
	if err == nil {
		err = c.Close()
	}
	return err
}
