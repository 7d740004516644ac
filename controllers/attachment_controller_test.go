// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

func TestAttachment(t *testing.T) {
	w := newWorld(t)
	await(t, w, w.network(t, "n", "10.1.0.0/24"), "ready", ready[*v1alpha1.Network])
	type spec = v1alpha1.AttachmentSpec
	address := func(s string) func(*spec) { return func(a *spec) { a.Addresses = []string{s} } }

	t.Run("64 at once share nothing", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() { w.attachment(t, fmt.Sprint("many-", i), "n", nil) })
		}
		wg.Wait()
		addresses, macs := map[string]bool{}, map[string]bool{}
		for i := range 64 {
			a := &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("many-", i)}}
			await(t, w, a, "programmed", programmed[*v1alpha1.Attachment])
			addresses[a.Status.Addresses[0]], macs[a.Status.MAC] = true, true
			if a.Status.Addresses[0] == "10.1.0.1/24" {
				t.Errorf("%s has the gateway's address", a.Name)
			}
		}
		if len(addresses) != 64 || len(macs) != 64 {
			t.Errorf("%d addresses and %d MACs for 64 attachments", len(addresses), len(macs))
		}
	})

	held := await(t, w, w.attachment(t, "held", "n", func(a *spec) {
		a.Addresses, a.MAC = []string{"10.1.0.200"}, "02:00:00:00:00:aa"
		a.Container = v1alpha1.Container{ID: "id-1", Name: "held"}
		a.LinkLocalAddresses = []string{"169.254.8.8", "fe80::8"}
	}), "programmed", programmed[*v1alpha1.Attachment])
	if got := fmt.Sprint(held.Status.LinkLocalAddresses); got != "[169.254.8.8/16 fe80::8/64]" {
		t.Errorf("link-local addresses %s", got)
	}
	if got := w.nb(t, "--bare", "--columns=port_security", "list", "Logical_Switch_Port", topology.PortName(held.UID)); strings.TrimSpace(got) != "02:00:00:00:00:aa 10.1.0.200 169.254.8.8 fe80::8" {
		t.Errorf("port security %q", got)
	}
	if held.Status.Addresses[0] != "10.1.0.200/24" || held.Status.MAC != "02:00:00:00:00:aa" {
		t.Errorf("static address and MAC: got %v, %s", held.Status.Addresses, held.Status.MAC)
	}

	for name, c := range map[string]struct {
		change  func(*spec)
		reason  string
		message string
	}{
		"taken":            {address("10.1.0.200"), v1alpha1.ReasonAddressInUse, "held by attachment held"},
		"link-local-taken": {func(a *spec) { a.LinkLocalAddresses = []string{"fe80::8"} }, v1alpha1.ReasonAddressInUse, "linkLocalAddresses[0]: fe80::8 is held by attachment held"},
		"outside":          {address("10.9.0.2"), v1alpha1.ReasonAddressNotUsable, "10.1.0.0/24"},
		"gateway":          {address("10.1.0.1"), v1alpha1.ReasonAddressNotUsable, "gateway"},
		"network-address":  {address("10.1.0.0"), v1alpha1.ReasonAddressNotUsable, "network address"},
		"broadcast":        {address("10.1.0.255"), v1alpha1.ReasonAddressNotUsable, "broadcast"},
		"mac-taken":        {func(a *spec) { a.MAC = "02:00:00:00:00:AA" }, v1alpha1.ReasonMACInUse, "02:00:00:00:00:aa is held by held"},
		"container-name":   {func(a *spec) { a.Container.Name = "held" }, v1alpha1.ReasonNameConflict, "container name held"},
		"container-id":     {func(a *spec) { a.Container.ID = "id-1" }, v1alpha1.ReasonNameConflict, "container id id-1"},
		"same-place":       {func(a *spec) { a.Interface.Netns = "/run/netns/held" }, v1alpha1.ReasonNameConflict, "eth0 in /run/netns/held"},
		"no-such-network":  {func(a *spec) { a.Network = "nope" }, v1alpha1.ReasonNetworkNotFound, "network nope does not exist"},
		"no-subnet-for-v6": {address("fd00::5"), v1alpha1.ReasonAddressNotUsable, "fd00::5"},
	} {
		t.Run(name, func(t *testing.T) {
			a := await(t, w, w.attachment(t, name, "n", c.change), "refused", refused[*v1alpha1.Attachment](c.reason))
			if m := a.Status.Conditions[0].Message; !strings.Contains(m, c.message) || !strings.HasPrefix(m, "spec.") {
				t.Errorf("message %q does not name the field, or say %q", m, c.message)
			}
			if len(a.Status.Addresses) != 0 {
				t.Errorf("it holds %v", a.Status.Addresses)
			}
		})
	}

	t.Run("what it waited for is released", func(t *testing.T) {
		w.delete(t, held)
		gone(t, w, held)
		taken := &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: "taken"}}
		await(t, w, taken, "programmed", programmed[*v1alpha1.Attachment])
		linkLocal := &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: "link-local-taken"}}
		await(t, w, linkLocal, "programmed", programmed[*v1alpha1.Attachment])
		if err := w.Patch(t.Context(), linkLocal, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"linkLocalAddresses":null}}`))); err != nil {
			t.Fatal(err)
		}
		await(t, w, linkLocal, "without link-local addresses", func(a *v1alpha1.Attachment) bool {
			return programmed(a) && len(a.Status.LinkLocalAddresses) == 0
		})
		if got := w.nb(t, "--bare", "--columns=port_security", "list", "Logical_Switch_Port", topology.PortName(linkLocal.UID)); strings.Contains(got, "fe80") {
			t.Errorf("port security %q", got)
		}
	})

	t.Run("its network appears", func(t *testing.T) {
		await(t, w, w.network(t, "nope", "10.5.0.0/24"), "ready", ready[*v1alpha1.Network])
		a := &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: "no-such-network"}}
		await(t, w, a, "programmed", programmed[*v1alpha1.Attachment])
	})

	t.Run("a full pool heals", func(t *testing.T) {
		await(t, w, w.network(t, "tiny", "10.6.0.0/30"), "ready", ready[*v1alpha1.Network])
		first := await(t, w, w.attachment(t, "first", "tiny", nil), "programmed", programmed[*v1alpha1.Attachment])
		second := await(t, w, w.attachment(t, "second", "tiny", nil), "refused", refused[*v1alpha1.Attachment](v1alpha1.ReasonPoolExhausted))
		w.delete(t, first)
		gone(t, w, first)
		await(t, w, second, "programmed", programmed[*v1alpha1.Attachment])
		if second.Status.Addresses[0] != "10.6.0.2/30" {
			t.Errorf("got %v", second.Status.Addresses)
		}
	})

	t.Run("all stays what it is over a restart", func(t *testing.T) {
		before := &v1alpha1.AttachmentList{}
		if err := w.List(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		rows := w.nb(t, "--columns=_uuid,name,addresses", "list", "Logical_Switch_Port")
		w.stop()
		w.run(t)
		more := await(t, w, w.attachment(t, "one-more", "n", nil), "programmed", programmed[*v1alpha1.Attachment])
		now := &v1alpha1.AttachmentList{}
		if err := w.List(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		was := map[string]v1alpha1.AttachmentStatus{}
		for _, a := range before.Items {
			was[a.Name] = a.Status
		}
		for _, a := range now.Items {
			if a.Name == more.Name {
				continue
			}
			if fmt.Sprint(a.Status.Addresses, a.Status.MAC) != fmt.Sprint(was[a.Name].Addresses, was[a.Name].MAC) {
				t.Errorf("%s had %v %s, has %v %s", a.Name, was[a.Name].Addresses, was[a.Name].MAC, a.Status.Addresses, a.Status.MAC)
			}
		}
		w.delete(t, more)
		gone(t, w, more)
		if now := w.nb(t, "--columns=_uuid,name,addresses", "list", "Logical_Switch_Port"); now != rows {
			t.Error("northbound ports were rewritten")
		}
	})
}
