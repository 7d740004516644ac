// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// egress compares TCP from a container to the world with the same over a bridge
// and a masquerade of the kernel.
func egress(o *ours) ([]result, error) {
	const row = "TCP from a container to the world, masqueraded"
	var our, peer []float64
	for range rounds {
		gbit, err := iperf(containerName(0, 0), "inet", worldAddress)
		if err != nil {
			return nil, err
		}
		our = append(our, gbit)
		if gbit, err = iperf(peerContainer, peerWorld, worldAddress); err != nil {
			return nil, err
		}
		peer = append(peer, gbit)
	}
	ours, kernel := of(row, "Gbit/s", our...), of(row, "Gbit/s", peer...)
	ours.Way, kernel.Way = "ours", "bridge"
	return []result{ours, kernel}, nil
}
