// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/vas-solutus/arca-network/internal/testns"
)

// rounds of the comparison, by turns, so that a noisy moment hits both.
const rounds = 5

// throughput compares TCP between two containers of one network with the same
// over a bridge of the kernel.
func throughput(dir string) (results []result, err error) {
	for j := range 2 {
		if err := testns.Make(containerName(0, j)); err != nil {
			return nil, err
		}
		if err := testns.Make(fmt.Sprint("bridge", j)); err != nil {
			return nil, err
		}
	}
	o := &ours{daemons: &daemons{dir: dir}}
	if err := o.start(); err != nil {
		return nil, err
	}
	defer func() {
		if e := o.stop(); err == nil {
			err = e
		}
	}()
	if err := o.network(0); err != nil {
		return nil, err
	}
	for j := range 2 {
		if err := o.attachment(0, j); err != nil {
			return nil, err
		}
	}
	if err := kernelBridge(); err != nil {
		return nil, err
	}
	var our, bridge []float64
	for range rounds {
		gbit, err := iperf(containerName(0, 0), containerName(0, 1), address(0, 1))
		if err != nil {
			return nil, err
		}
		our = append(our, gbit)
		if gbit, err = iperf("bridge0", "bridge1", "192.0.2.2"); err != nil {
			return nil, err
		}
		bridge = append(bridge, gbit)
	}
	const row = "TCP between two containers"
	ours, peer := of(row, "Gbit/s", our...), of(row, "Gbit/s", bridge...)
	ours.Way, peer.Way = "ours", "bridge"
	return []result{ours, peer}, nil
}

// kernelBridge connects the namespaces bridge0 and bridge1.
func kernelBridge() error {
	if err := ip("", "link add kbr type bridge", "link set kbr up"); err != nil {
		return err
	}
	for j := range 2 {
		ns, outer := fmt.Sprint("bridge", j), fmt.Sprint("kbr", j)
		if err := ip("", "link add "+outer+" type veth peer name eth0 netns "+ns, "link set "+outer+" master kbr up"); err != nil {
			return err
		}
		if err := ip(ns, fmt.Sprintf("addr add 192.0.2.%d/24 dev eth0", j+1), "link set eth0 up"); err != nil {
			return err
		}
	}
	return firstPacket("bridge0", "192.0.2.2")
}

// iperf sends for some seconds and returns what has arrived, in Gbit/s.
func iperf(from, to, address string) (float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	server := exec.CommandContext(ctx, "ip", "netns", "exec", to, "iperf3", "-s", "-1", "--forceflush")
	server.Stderr = os.Stderr
	stdout, err := server.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := server.Start(); err != nil {
		return 0, err
	}
	defer func() { _ = server.Wait() }()
	if _, err := stdout.Read(make([]byte, 64)); err != nil { // "Server listening"
		return 0, err
	}
	raw, err := exec.CommandContext(ctx, "ip", "netns", "exec", from, "iperf3", "-c", address, "-t", fmt.Sprint(int(window.Seconds())), "-J").Output()
	if err != nil {
		cancel()
		return 0, fmt.Errorf("iperf3 to %s: %w: %s", address, err, raw)
	}
	var report struct {
		End struct {
			Received struct {
				Bits float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal(raw, &report); err != nil {
		return 0, err
	}
	return report.End.Received.Bits / 1e9, nil
}

// window is how long one round sends.
const window = 3 * time.Second
