// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/dns"
)

// A container has one identity on all its networks, also where its attachments
// were made by other names.
func TestNamesOfAttachment(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	a := &v1alpha1.Attachment{}
	a.Name, a.Spec.Network = "x", "web"
	a.Spec.Container = v1alpha1.Container{ID: "mac-02420a580032", Name: "c1", Aliases: []string{"one"}}
	a.Annotations = map[string]string{v1alpha1.AnnotationContainer: id}
	a.Status.Addresses = []string{"10.88.0.2/24"}
	want := dns.Attachment{Name: "x", Network: "web", Container: id, Names: []string{"c1", "one", id[:12]}, Addresses: []netip.Addr{netip.MustParseAddr("10.88.0.2")}}
	if diff := cmp.Diff(want, namesOfAttachment(a), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
	a.Annotations, a.Spec.Container.ID = nil, id
	if diff := cmp.Diff(want, namesOfAttachment(a), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}

// A container that an engine's driver was not told of is nobody else: its id here is
// made of a MAC address, which is one network's.
func TestNamesOfUnknownContainer(t *testing.T) {
	a := &v1alpha1.Attachment{}
	a.Name, a.Spec.Network = "x", "web"
	a.Spec.Container = v1alpha1.Container{ID: "mac-02420a580032", Name: "c1"}
	a.Annotations = map[string]string{v1alpha1.AnnotationMadeBy: "plugin"}
	want := dns.Attachment{Name: "x", Network: "web", Names: []string{"c1"}}
	if diff := cmp.Diff(want, namesOfAttachment(a)); diff != "" {
		t.Error(diff)
	}
	// It may be told later.
	id := strings.Repeat("0123456789abcdef", 4)
	a.Annotations[v1alpha1.AnnotationContainer] = id
	want.Container, want.Names = id, []string{"c1", id[:12]}
	if diff := cmp.Diff(want, namesOfAttachment(a)); diff != "" {
		t.Error(diff)
	}
}
