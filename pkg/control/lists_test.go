// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// One call tells the attachments of several networks.
func TestAttachmentsOfSeveralNetworks(t *testing.T) {
	w := startWorld(t, atOnce)
	for i := range 3 {
		id := fmt.Sprint("n", i)
		w.network(t, id, fmt.Sprintf("10.%d.0.0/24", i+1))
		a := tap("c"+id, id)
		if i == 1 {
			a.Ports = []*controlpb.PublishedPort{{HostPort: 80, ContainerPort: 80}}
		}
		w.attach(t, a)
	}
	for want, r := range map[string]*controlpb.GetContainerNetworksRequest{
		"[cn0 cn1]": {NetworkIds: []string{"n1", "n0", "n1", "nope"}},
		"[cn1]":     {NetworkIds: []string{"n0", "n1", "n2"}, Published: true},
		"[]":        {NetworkId: "n2", Published: true},
	} {
		list, err := w.GetContainerNetworks(within(t, patience), r)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, c := range list.Networks {
			got = append(got, c.ContainerId)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%v: %v, want %s", r, got, want)
		}
	}
	for _, r := range []*controlpb.GetContainerNetworksRequest{
		{NetworkIds: []string{"n0"}, NetworkId: "n1"}, {NetworkIds: []string{"n0"}, ContainerId: "c"}, {NetworkIds: []string{"n0", "?"}}, {Published: true},
	} {
		if _, err := w.GetContainerNetworks(within(t, patience), r); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v, want %v", r, err, codes.InvalidArgument)
		}
	}
	list, err := w.ListBridges(within(t, patience), &controlpb.ListBridgesRequest{WithAttachments: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list.Bridges {
		if len(b.Attachments) != 1 || b.Attachments[0].ContainerId != "c"+b.NetworkId || fmt.Sprint(b.Containers) != "[c"+b.NetworkId+"]" {
			t.Errorf("%s has %v, and %v", b.NetworkId, b.Containers, b.Attachments)
		}
	}
}

// What a client has read already it need not be told again; but it is told of all
// that was acknowledged since.
func TestListUnlessUnchanged(t *testing.T) {
	w := startWorld(t, atOnce)
	version := ""
	changed := func(want bool) {
		t.Helper()
		list, err := w.ListBridges(within(t, patience), &controlpb.ListBridgesRequest{Unless: version})
		if err != nil {
			t.Fatal(err)
		}
		if list.Unchanged == want || want == (len(list.Bridges) == 0) {
			t.Errorf("unchanged is %v, with %d networks; want the opposite of %v", list.Unchanged, len(list.Bridges), want)
		}
		version = list.Version
	}
	w.network(t, "n", "10.1.0.0/24")
	changed(true)
	changed(false)
	w.attach(t, tap("c", "n"))
	changed(true)
	if _, err := w.DetachContainer(within(t, patience), &controlpb.DetachContainerRequest{ContainerId: "c", NetworkId: "n"}); err != nil {
		t.Fatal(err)
	}
	changed(true)
	changed(false)
	version = "of another server-1"
	changed(true)
}

// A container can be let go without a wait: what was made for it goes by itself.
func TestDetachWithoutWait(t *testing.T) {
	w := startWorld(t, atOnce)
	w.network(t, "n", "10.1.0.0/24")
	w.attach(t, tap("c", "n"))
	r := &controlpb.DetachContainerRequest{ContainerId: "c", NetworkId: "n", NoWait: true}
	if got, err := w.DetachContainer(within(t, patience), r); err != nil || !got.Existed {
		t.Fatalf("%v, %v; want that it existed", got, err)
	}
	list, err := w.ListBridges(within(t, patience), &controlpb.ListBridgesRequest{WithAttachments: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list.Bridges {
		if len(b.Containers) > 0 {
			t.Errorf("%s still has %v", b.NetworkId, b.Containers)
		}
		for _, a := range b.Attachments {
			if !a.Deleting {
				t.Errorf("%s is there, and not deleting", a.Name)
			}
		}
	}
	// The other form waits for the same.
	r.NoWait = false
	if _, err := w.DetachContainer(within(t, patience), r); err != nil {
		t.Fatal(err)
	}
	w.attach(t, tap("c", "n"))
}
