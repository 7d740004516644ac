// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
)

// TestDeletedUnseen: any row that is deleted by hand is made again so that ovn-northd
// derives from it what it did before, also where it sees the row go and come at once.
func TestDeletedUnseen(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"c", "d", "e"} {
		netns(t, name)
	}
	n := &v1alpha1.Network{}
	n.Name = "net"
	n.Spec.Subnets = []v1alpha1.Subnet{{CIDR: "10.1.0.0/24"}, {CIDR: "fd00:1::/64"}}
	n.Spec.DHCP = &v1alpha1.NetworkDHCP{Enabled: true}
	w.create(t, n)
	off := false
	m := &v1alpha1.Network{}
	m.Name = "apart"
	m.Spec.Subnets = []v1alpha1.Subnet{{CIDR: "10.2.0.0/24"}}
	m.Spec.InterContainer, m.Spec.Internal = &off, true
	w.create(t, m)
	c := await(t, w, w.attachment(t, "c", "net", func(s *v1alpha1.AttachmentSpec) {
		s.Bandwidth = &v1alpha1.Bandwidth{Ingress: &v1alpha1.BandwidthLimit{Rate: 1e9}, Egress: &v1alpha1.BandwidthLimit{Rate: 1e9}}
	}), "ready", ready[*v1alpha1.Attachment])
	await(t, w, w.attachment(t, "d", "net", nil), "ready", ready[*v1alpha1.Attachment])
	await(t, w, w.attachment(t, "e", "apart", nil), "ready", ready[*v1alpha1.Attachment])
	await(t, w, w.policy(t, "p", `{network: net, ingress: [{action: Allow, peers: [{network: apart}], protocol: tcp, ports: [{port: 80}]}, {action: Deny, log: true}]}`), "ready", ready[*pol])

	stopped := func(fn func()) {
		w.signal(t, "ovn-northd", syscall.SIGSTOP)
		defer w.signal(t, "ovn-northd", syscall.SIGCONT)
		fn()
	}
	flows := func() string { return w.flows(t) }
	want := flows()
	for _, table := range []string{
		"Logical_Switch_Port", "Logical_Router_Port", "Logical_Router_Policy", "Logical_Router_Static_Route", "Gateway_Chassis", "ACL",
		"Load_Balancer", "DHCP_Options", "Address_Set", "Port_Group", "Meter", "QoS", "Logical_Switch", "Logical_Router",
	} {
		rows := strings.Fields(w.nb(t, "--bare", "--columns=_uuid", "find", table, `external_ids:arca-owner-uid!=""`))
		if len(rows) == 0 {
			t.Errorf("no row of %s", table)
		}
		for _, uuid := range rows {
			row := strings.Trim(w.nb(t, "get", table, uuid, "external_ids:arca-row"), `"`)
			t.Run(table+" "+row, func(t *testing.T) {
				remove := []string{}
				for _, member := range members(t, w.nb(t, "get", table, uuid, "external_ids:arca-members")) {
					if member[3] == "" {
						parent := w.nb(t, "--bare", "--columns=_uuid", "find", member[0], `external_ids:arca-row="`+member[1]+`"`)
						remove = append(remove, "--", "remove", member[0], parent, member[2], uuid)
					}
				}
				remove = append(remove, "--", "--if-exists", "destroy", table, uuid)
				stopped(func() {
					w.nb(t, remove[1:]...)
					w.eventually(t, "the row is made again", func(out string) bool { return out != "" },
						"--bare", "--columns=_uuid", "find", table, `external_ids:arca-row="`+row+`"`)
				})
				now := ""
				await(t, w, c, "the flows are as they were", func(*v1alpha1.Attachment) bool { now = flows(); return now == want })
			})
		}
	}
}

// flows lists the logical flows once ovn-northd has done what there is to do, or tells
// that it does not.
func (w *world) flows(t *testing.T) string {
	t.Helper()
	out, err := ovnd.Tool(t.Context(), w.options, "ovn-nbctl", "--db="+w.stack.Endpoints().NB, "--timeout=2", "--wait=sb", "sync")
	if err == nil {
		out, err = ovnd.Tool(t.Context(), w.options, "ovn-sbctl", "--db="+w.stack.Endpoints().SB, "--timeout=2", "lflow-list")
	}
	if err != nil {
		return err.Error()
	}
	// Their order within a priority is that of UUIDs.
	return sorted(datapathUUID.ReplaceAllString(out, ""))
}

// TestSouthboundRowsDeleted: what is deleted by hand in the southbound database comes
// back, also where ovn-northd ends itself for it.
func TestSouthboundRowsDeleted(t *testing.T) {
	w := newWorld(t)
	netns(t, "c")
	await(t, w, w.network(t, "net", "10.1.0.0/24"), "ready", ready[*v1alpha1.Network])
	c := await(t, w, w.attachment(t, "c", "net", nil), "ready", ready[*v1alpha1.Attachment])
	sb := func(args ...string) string {
		t.Helper()
		out, err := ovnd.Tool(t.Context(), w.options, "ovn-sbctl", append([]string{"--db=" + w.stack.Endpoints().SB, "--timeout=10"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	want := w.flows(t)
	for _, port := range strings.Fields(sb("--bare", "--columns=logical_port", "list", "Port_Binding")) {
		t.Run(port, func(t *testing.T) {
			sb("destroy", "Port_Binding", strings.TrimSpace(sb("--bare", "--columns=_uuid", "find", "Port_Binding", `logical_port="`+port+`"`)))
			now := ""
			await(t, w, c, "the flows are as they were", func(*v1alpha1.Attachment) bool { now = w.flows(t); return now == want })
			await(t, w, c, "ready", ready[*v1alpha1.Attachment])
		})
	}
	renewed, err := filepath.Glob(filepath.Join(w.options.Dir, "sb.db.corrupt-*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(renewed) > 1 {
		t.Errorf("the southbound database was put aside %d times for one row", len(renewed))
	}
}

// datapathUUID is the UUID of a datapath in lflow-list's headings.
var datapathUUID = regexp.MustCompile(`\([0-9a-f-]{36}\)`)

// members reads a row's memberships as ovn-nbctl prints them.
func members(t *testing.T, printed string) (out [][4]string) {
	t.Helper()
	var text string
	if err := json.Unmarshal([]byte(printed), &text); err != nil {
		t.Fatalf("%s: %v", printed, err)
	}
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}
