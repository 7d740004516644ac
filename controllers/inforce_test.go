// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// TestRefusedChanges: a network and an attachment whose changes are refused are kept
// as they were, whatever happens to what they are made of, until the change can be
// accepted or they are deleted.
func TestRefusedChanges(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"c", "d"} {
		netns(t, name)
	}
	n := await(t, w, w.network(t, "net", "10.1.0.0/24"), "ready", ready[*v1alpha1.Network])
	at := func(name, address string) func(*v1alpha1.AttachmentSpec) {
		return func(s *v1alpha1.AttachmentSpec) {
			s.Container = v1alpha1.Container{Name: name}
			s.Addresses = []string{address}
		}
	}
	c := await(t, w, w.attachment(t, "c", "net", at("c", "10.1.0.5")), "ready", ready[*v1alpha1.Attachment])
	d := await(t, w, w.attachment(t, "d", "net", at("d", "10.1.0.6")), "ready", ready[*v1alpha1.Attachment])

	n.Spec.Subnets[0].CIDR = "10.9.0.0/24"
	c.Spec.Addresses, c.Spec.Container.Name = []string{"10.1.0.6"}, "changed"
	for _, o := range []client.Object{n, c} {
		if err := w.Update(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	kept := func() {
		t.Helper()
		await(t, w, n, "still refused, and kept", func(n *v1alpha1.Network) bool {
			return refused[*v1alpha1.Network](v1alpha1.ReasonSubnetInUse)(n) &&
				n.Status.InForce != nil && n.Status.InForce.Subnets[0].CIDR == "10.1.0.0/24" && n.Status.Subnets[0].CIDR == "10.1.0.0/24"
		})
		await(t, w, c, "still refused, and kept", func(a *v1alpha1.Attachment) bool {
			return isReady(a) && refused[*v1alpha1.Attachment](v1alpha1.ReasonAddressInUse)(a) &&
				a.Status.InForce != nil && a.Status.InForce.Container.Name == "c" && slices.Equal(a.Status.Addresses, []string{"10.1.0.5/24"})
		})
	}
	// works sees what is in force at work: rows, ports, names.
	works := func() {
		t.Helper()
		kept()
		port := "arca-" + string(c.UID)
		w.eventually(t, "the port", func(out string) bool { return strings.Contains(out, "10.1.0.5") },
			"--if-exists", "get", "Logical_Switch_Port", port, "addresses")
		await(t, w, d, "c is reached by its name", func(*v1alpha1.Attachment) bool {
			return resolve(t, "d", "udp", "10.1.0.1", "c.net", miekg.TypeA) == "NOERROR 10.1.0.5"
		})
		l := listen(t, "c", "10.1.0.5:80")
		defer func() { _ = l.Close() }()
		await(t, w, d, "c is connected to", func(*v1alpha1.Attachment) bool {
			return within(t, "d", func() error {
				conn, err := net.DialTimeout("tcp", "10.1.0.5:80", time.Second)
				if err == nil {
					_ = conn.Close()
				}
				return err
			}) == nil
		})
	}
	works()

	for _, deleted := range [][]string{
		{"lsp-del", "arca-" + string(c.UID)},
		{"ls-del", "arca-net"},
		{"lr-del", "arca"},
	} {
		t.Run(deleted[0], func(t *testing.T) {
			w.nb(t, deleted...)
			works()
		})
	}

	t.Run("a policy takes effect", func(t *testing.T) {
		p := await(t, w, w.policy(t, "p", `{network: net, ingress: [{action: Deny, protocol: tcp, ports: [{port: 81}]}]}`), "ready", ready[*pol])
		w.delete(t, p)
		gone(t, w, p)
		works()
	})

	t.Run("the controllers start anew", func(t *testing.T) {
		w.stop()
		w.nb(t, "ls-del", "arca-net")
		w.run(t)
		works()
	})

	t.Run("the northbound database is wiped", func(t *testing.T) {
		if err := os.Remove(filepath.Join(w.options.Dir, "nb.db")); err != nil {
			t.Fatal(err)
		}
		killed := w.signal(t, "ovsdb-server", syscall.SIGKILL)
		await(t, w, c, "another server is there", func(*v1alpha1.Attachment) bool {
			if pid := w.pid("ovsdb-server"); pid == 0 || pid == killed {
				return false
			}
			conn, err := net.Dial("unix", strings.TrimPrefix(w.stack.Endpoints().NB, "unix:"))
			if err == nil {
				_ = conn.Close()
			}
			return err == nil
		})
		works()
	})

	t.Run("nobody is given what they hold", func(t *testing.T) {
		overlaps := w.network(t, "overlaps", "10.1.0.0/25")
		await(t, w, overlaps, "refused", refused[*v1alpha1.Network](v1alpha1.ReasonSubnetOverlap))
		taken := w.attachment(t, "taken", "net", at("taken", "10.1.0.5"))
		await(t, w, taken, "refused", refused[*v1alpha1.Attachment](v1alpha1.ReasonAddressInUse))
		w.delete(t, overlaps)
		w.delete(t, taken)
		gone(t, w, taken)
		works()
	})

	t.Run("the attachment's change is accepted when it can be", func(t *testing.T) {
		d.Spec.Addresses = []string{"10.1.0.7"}
		if err := w.Update(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		await(t, w, c, "accepted", func(a *v1alpha1.Attachment) bool {
			return ready(a) && a.Status.InForce == nil && slices.Equal(a.Status.Addresses, []string{"10.1.0.6/24"})
		})
		await(t, w, d, "c has its new name and address", func(*v1alpha1.Attachment) bool {
			return resolve(t, "d", "udp", "10.1.0.1", "changed.net", miekg.TypeA) == "NOERROR 10.1.0.6"
		})
	})

	t.Run("a deleted network is kept while it has attachments", func(t *testing.T) {
		w.delete(t, n)
		await(t, w, n, "waits", func(n *v1alpha1.Network) bool { return isDeleting(n) })
		w.nb(t, "ls-del", "arca-net")
		w.eventually(t, "the switch", func(out string) bool { return out != "" }, "--bare", "--columns=_uuid", "find", "Logical_Switch", "name=arca-net")
		w.eventually(t, "the ports", func(out string) bool { return len(strings.Fields(out)) == 2 },
			"--bare", "--columns=name", "find", "Logical_Switch_Port", "external_ids:arca-owner-kind=Attachment")
		await(t, w, c, "ready", ready[*v1alpha1.Attachment])
		w.delete(t, c)
		w.delete(t, d)
		gone(t, w, n)
		w.eventually(t, "no switch", nothing, "--bare", "--columns=_uuid", "find", "Logical_Switch", "name=arca-net")
	})
}

// isReady tells whether an attachment is ready, for whatever generation.
func isReady(a *v1alpha1.Attachment) bool {
	return meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionReady)
}

// isDeleting tells whether a network says that it waits for its attachments.
func isDeleting(n *v1alpha1.Network) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == v1alpha1.ConditionDeleting {
			return c.Reason == v1alpha1.ReasonAttachmentsRemain
		}
	}
	return false
}

// listen listens in a network namespace of netns.
func listen(t *testing.T, in, address string) net.Listener {
	t.Helper()
	var l net.Listener
	err := within(t, in, func() (err error) {
		if l, err = net.Listen("tcp", address); err != nil {
			err = fmt.Errorf("%s: %w", in, err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}
