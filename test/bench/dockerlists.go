// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	dockerapi "github.com/vas-solutus/arca-network/pkg/docker"
)

// So many networks with so many endpoints on each of them.
const (
	listedNetworks  = 500
	listedEndpoints = 4
	// engineContainers have the engine's endpoints: each is on as many networks as
	// it takes. Ours are of containers that run elsewhere, which has no effect on
	// what is listed.
	engineContainers = 20
)

// withoutFilters are dockerd's flags here: its rules of iptables take minutes for
// so many networks, and are not what is listed.
var withoutFilters = []string{"--iptables=false", "--ip6tables=false", "--userland-proxy=false"}

// dockerLists compares how long it takes to list and to inspect many networks.
func dockerLists(w *dockerWorld) (results []result, err error) {
	ids := map[*side][]string{}
	for i, s := range w.sides {
		ms, err := milliseconds(func() (err error) { ids[s], err = s.manyNetworks(i); return err })
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "bench:   %d networks, %s: made in %.3g s\n", listedNetworks, s.way, ms/1000)
	}
	if err := w.oursOn(ids[w.sides[0]]); err != nil {
		return nil, err
	}
	if err := w.engineOn(w.sides[1], ids[w.sides[1]]); err != nil {
		return nil, err
	}
	for _, s := range w.sides {
		if err := s.checkMany(ids[s]); err != nil {
			return nil, fmt.Errorf("%s: %w", s.way, err)
		}
	}
	const lists = 100
	of := fmt.Sprintf(" of %d networks with %d endpoints (ours of containers elsewhere, the engine's of %d)", listedNetworks, listedNetworks*listedEndpoints, engineContainers)
	for _, c := range []struct {
		row  string
		path func(s *side, k int) string
	}{
		{"docker: list", func(*side, int) string { return "/networks" }},
		{"docker: list one by its name", func(s *side, k int) string {
			return "/networks?filters=" + fmt.Sprintf(`{"name":{"%s":true}}`, s.listed(k))
		}},
		{"docker: inspect one by its id", func(s *side, k int) string { return "/networks/" + ids[s][k%listedNetworks] }},
		{"docker: inspect one by its name", func(s *side, k int) string { return "/networks/" + s.listed(k) }},
	} {
		r, err := w.each(c.row+of, lists, func(s *side, k int) (float64, error) {
			return milliseconds(func() error { _, err := s.get(c.path(s, k)); return err })
		})
		if err != nil {
			return nil, err
		}
		results = append(results, r...)
	}
	return results, nil
}

func (s *side) listed(k int) string { return s.name(fmt.Sprint("listed-", k%listedNetworks)) }

// manyNetworks makes them by the API, of 14 addresses each; a side has a range.
func (s *side) manyNetworks(side int) (ids []string, err error) {
	ids = make([]string, listedNetworks)
	return ids, sideBySide(listedNetworks, func(k int) error {
		ctx, cancel := context.WithTimeout(context.Background(), ages)
		defer cancel()
		range28 := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(50 + side), byte(k / 16), byte(k % 16 * 16)}), 28)
		r, err := s.client.NetworkCreate(ctx, s.listed(k), client.NetworkCreateOptions{
			IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: range28}}}})
		ids[k] = r.ID
		return err
	})
}

// oursOn declares the endpoints of containers, as the engine's driver does.
func (w *dockerWorld) oursOn(ids []string) error {
	if err := w.ours.each(listedNetworks*listedEndpoints, func(n int) kclient.Object {
		container, endpoint := dockerapi.DerivedID(fmt.Sprint("container-", n)), dockerapi.DerivedID(fmt.Sprint("endpoint-", n))
		return &v1alpha1.Attachment{
			ObjectMeta: metav1.ObjectMeta{Name: container[:12] + "." + ids[n/listedEndpoints], Annotations: dockerapi.EndpointFacts{ID: endpoint}.Annotations()},
			Spec: v1alpha1.AttachmentSpec{
				Network:   ids[n/listedEndpoints],
				Container: v1alpha1.Container{ID: container, Name: fmt.Sprint("c", n)},
				Node:      elsewhere,
				Interface: v1alpha1.Interface{Type: v1alpha1.InterfaceExternal, Name: fmt.Sprint("ext", n)},
			},
		}
	}); err != nil {
		return err
	}
	return w.ours.await(listedNetworks*listedEndpoints, 0, ages)
}

// engineOn starts containers that are on as many networks each as it takes.
func (w *dockerWorld) engineOn(s *side, ids []string) error {
	const groups = engineContainers / listedEndpoints // of containers on the same networks
	return sideBySide(engineContainers, func(c int) error {
		var on []string
		for k := c % groups; k < listedNetworks; k += groups {
			on = append(on, ids[k])
		}
		return s.runForever(s.name(fmt.Sprint("c", c)), on...)
	})
}

// checkMany looks whether what is measured is what it is said to be.
func (s *side) checkMany(ids []string) error {
	body, err := s.get("/networks")
	if err != nil {
		return err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	if len(list) < listedNetworks {
		return fmt.Errorf("lists %d networks, of %d", len(list), listedNetworks)
	}
	for _, id := range ids {
		if body, err = s.get("/networks/" + id); err != nil {
			return err
		}
		if n := bytes.Count(body, []byte(`"EndpointID"`)); n != listedEndpoints {
			return fmt.Errorf("network %s has %d endpoints, of %d", id, n, listedEndpoints)
		}
	}
	return nil
}
