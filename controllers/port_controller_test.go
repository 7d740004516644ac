// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"testing"

	"github.com/vishvananda/netlink"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/controllers"
)

func TestPort(t *testing.T) {
	w := newWorld(t)
	await(t, w, w.network(t, "n", "10.1.0.0/24"), "ready", ready[*v1alpha1.Network])
	missing := has[*v1alpha1.Attachment](v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNetnsNotFound)

	t.Run("a namespace appears, goes, and comes back", func(t *testing.T) {
		a := await(t, w, w.attachment(t, "c", "n", nil), "waiting for its namespace", missing)
		remove := netns(t, "c")
		await(t, w, a, "ready", ready[*v1alpha1.Attachment])
		address := a.Status.Addresses[0]
		remove()
		await(t, w, a, "waiting for its namespace", missing)
		netns(t, "c")
		await(t, w, a, "ready", ready[*v1alpha1.Attachment])
		if a.Status.Addresses[0] != address {
			t.Errorf("its address was %s and is %s", address, a.Status.Addresses[0])
		}
		w.delete(t, a)
		gone(t, w, a)
		if _, err := netlink.LinkByName(a.Status.PortName); err == nil {
			t.Errorf("interface %s is left", a.Status.PortName)
		}
		if out := w.nb(t, "--bare", "--columns=name", "find", "Logical_Switch_Port", "external_ids:arca-owner-name=c"); out != "" {
			t.Errorf("row %s is left", out)
		}
	})

	t.Run("other types", func(t *testing.T) {
		for _, c := range []v1alpha1.Interface{
			{Type: v1alpha1.InterfaceTap, Name: "tap-x"},
			{Type: v1alpha1.InterfaceInternal, Name: "int-x"},
		} {
			a := await(t, w, w.attachment(t, c.Name, "n", func(s *v1alpha1.AttachmentSpec) { s.Interface = c }), "ready", ready[*v1alpha1.Attachment])
			link, err := netlink.LinkByName(c.Name)
			if err != nil {
				t.Fatal(err)
			}
			if c.Type == v1alpha1.InterfaceInternal && link.Attrs().HardwareAddr.String() != a.Status.MAC {
				t.Errorf("%s has MAC %s, want %s", c.Name, link.Attrs().HardwareAddr, a.Status.MAC)
			}
			w.delete(t, a)
			gone(t, w, a)
		}
	})

	t.Run("an interface of others", func(t *testing.T) {
		a := await(t, w, w.attachment(t, "ext", "n", func(s *v1alpha1.AttachmentSpec) {
			s.Interface = v1alpha1.Interface{Type: v1alpha1.InterfaceExternal, Name: "their0"}
		}), "waiting", has[*v1alpha1.Attachment](v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInterfaceNotFound))
		theirs := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "their0"}, PeerName: "their1"}
		if err := netlink.LinkAdd(theirs); err != nil {
			t.Fatal(err)
		}
		await(t, w, a, "ready", ready[*v1alpha1.Attachment])
		w.delete(t, a)
		gone(t, w, a)
		if err := netlink.LinkDel(theirs); err != nil {
			t.Errorf("the interface of others was touched: %v", err)
		}
	})

	t.Run("a name that is taken", func(t *testing.T) {
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "busy0"}, PeerName: "busy1"}); err != nil {
			t.Fatal(err)
		}
		await(t, w, w.attachment(t, "busy", "n", func(s *v1alpha1.AttachmentSpec) {
			s.Interface = v1alpha1.Interface{Type: v1alpha1.InterfaceTap, Name: "busy0"}
		}), "refused", has[*v1alpha1.Attachment](v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInterfaceConflict))
	})
}

// TestHeal: what somebody else takes away comes back, without a word from us.
func TestHeal(t *testing.T) {
	w := newWorld(t)
	netns(t, "c")
	await(t, w, w.network(t, "n", "10.1.0.0/24"), "ready", ready[*v1alpha1.Network])
	a := await(t, w, w.attachment(t, "c", "n", nil), "ready", ready[*v1alpha1.Attachment])
	w.nb(t, "ls-add", "theirs")
	for _, c := range []struct {
		what  string
		args  []string
		table string
	}{
		{"the port", []string{"lsp-del", "arca-" + string(a.UID)}, "Logical_Switch_Port"},
		{"the switch", []string{"ls-del", "arca-n"}, "Logical_Switch_Port"},
		{"the router", []string{"lr-del", "arca"}, "Logical_Router_Port"},
	} {
		t.Run(c.what, func(t *testing.T) {
			rows := func() string { return w.nb(t, "--bare", "--columns=name", "list", c.table) }
			want := rows()
			w.nb(t, c.args...)
			await(t, w, a, "rows are back", func(*v1alpha1.Attachment) bool { return len(rows()) == len(want) })
			await(t, w, a, "ready", ready[*v1alpha1.Attachment])
		})
	}
	if got := w.nb(t, "--bare", "--columns=name", "find", "Logical_Switch", "name=theirs"); got != "theirs" {
		t.Error("a switch of others was touched")
	}
}

// TestPortApart: central and node work as controllers of their own come to the
// same as in one.
func TestPortApart(t *testing.T) {
	w := newWorldWith(t, controllers.Options{Apart: true})
	w.network(t, "n", "10.1.0.0/24")
	remove := netns(t, "c")
	a := await(t, w, w.attachment(t, "c", "n", nil), "ready", ready[*v1alpha1.Attachment])
	remove()
	await(t, w, a, "waiting for its namespace", has[*v1alpha1.Attachment](v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNetnsNotFound))
	netns(t, "c")
	await(t, w, a, "ready", ready[*v1alpha1.Attachment])
	w.delete(t, a)
	gone(t, w, a)
}
