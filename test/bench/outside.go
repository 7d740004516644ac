// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"

	"github.com/vas-solutus/arca-network/internal/testns"
)

// The world outside, a namespace that is linked to a host.
const (
	hostOutside  = "198.51.100.1" // the host in the world
	worldAddress = "198.51.100.9"
)

// The peer is a host of its own, in a namespace, so that neither has to pass
// the other's rules: a bridge of the kernel with one container, and masquerade.
const (
	peerHost, peerContainer, peerWorld = "plain", "plain-1", "plain-world"
	peerAddress                        = "192.0.2.2"
)

// linkWorld makes a namespace that stands for the world, and links a host's
// namespace to it; the empty one is ours.
func linkWorld(host, world string) error {
	if err := testns.Make(world); err != nil {
		return err
	}
	if err := ip(host, "link add out0 type veth peer name eth0 netns "+world,
		"addr add "+hostOutside+"/24 dev out0", "link set out0 up"); err != nil {
		return err
	}
	return ip(world, "addr add "+worldAddress+"/24 dev eth0", "link set eth0 up")
}

// besidePeer measures with arca-network and the peer, both with a container that
// reaches the world.
func besidePeer(dir string, measure func(*ours) ([]result, error)) (results []result, err error) {
	o, err := startOurs(dir)
	if o != nil {
		defer func() {
			if e := o.stop(); err == nil {
				err = e
			}
		}()
	}
	if err != nil {
		return nil, err
	}
	if err := startPeer(); err != nil {
		return nil, err
	}
	return measure(o)
}

// startOurs runs arca-network on a host with one container, which reaches the world.
func startOurs(dir string) (*ours, error) {
	const world = "inet"
	if err := linkWorld("", world); err != nil {
		return nil, err
	}
	if err := testns.Make(containerName(0, 0)); err != nil {
		return nil, err
	}
	o := &ours{daemons: &daemons{dir: dir}}
	if err := o.start(); err != nil {
		return o, err
	}
	if err := o.network(0); err != nil {
		return o, err
	}
	if err := o.attachment(0, 0); err != nil {
		return o, err
	}
	return o, firstPacket(containerName(0, 0), worldAddress)
}

// startPeer makes the peer.
func startPeer() error {
	for _, ns := range []string{peerHost, peerContainer} {
		if err := testns.Make(ns); err != nil {
			return err
		}
	}
	if err := linkWorld(peerHost, peerWorld); err != nil {
		return err
	}
	if err := ip(peerHost, "link add br0 type bridge", "addr add 192.0.2.1/24 dev br0", "link set br0 up",
		"link add c0 type veth peer name eth0 netns "+peerContainer, "link set c0 master br0 up"); err != nil {
		return err
	}
	if err := ip(peerContainer, "addr add "+peerAddress+"/24 dev eth0", "link set eth0 up", "route add default via 192.0.2.1"); err != nil {
		return err
	}
	if err := within(peerHost, func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644) }); err != nil {
		return err
	}
	for _, line := range []string{
		"add table ip peer",
		"add chain ip peer prerouting { type nat hook prerouting priority dstnat; }",
		"add chain ip peer postrouting { type nat hook postrouting priority srcnat; }",
		"add rule ip peer postrouting ip saddr 192.0.2.0/24 oifname out0 masquerade",
	} {
		if err := peerNft(line); err != nil {
			return err
		}
	}
	return firstPacket(peerContainer, worldAddress)
}

// peerNft runs nft on the peer's host.
func peerNft(line string) error {
	if out, err := exec.Command("ip", "netns", "exec", peerHost, "nft", line).CombinedOutput(); err != nil {
		return fmt.Errorf("nft %s: %w: %s", line, err, out)
	}
	return nil
}
