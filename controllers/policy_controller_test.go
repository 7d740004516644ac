// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

type pol = v1alpha1.Policy

// policy creates one from the YAML of its spec.
func (w *world) policy(t *testing.T, name, spec string) *pol {
	t.Helper()
	p := &pol{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	w.create(t, p)
	return p
}

// labelled creates an attachment with labels.
func (w *world) labelled(t *testing.T, name, network string, labels map[string]string) *v1alpha1.Attachment {
	t.Helper()
	a := &v1alpha1.Attachment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: v1alpha1.AttachmentSpec{
			Network: network, Interface: v1alpha1.Interface{Type: v1alpha1.InterfaceVeth, Netns: "/run/netns/" + name},
		},
	}
	w.create(t, a)
	return a
}

// eventually waits until something in the northbound database is so.
func (w *world) eventually(t *testing.T, what string, is func(string) bool, args ...string) string {
	t.Helper()
	for limit := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // the tool is all that tells
		out := w.nb(t, args...)
		if is(out) {
			return out
		}
		if time.Now().After(limit) {
			t.Fatalf("%s did not come true; %v says %q", what, args, out)
		}
	}
}

// acls lists the rows of policies: id, priority, match, action.
var acls = []string{"--no-headings", "--format=csv", "--columns=external_ids,priority,direction,match,action", "find", "ACL", "external_ids:arca-owner-kind=Policy"}

func lines(n int) func(string) bool {
	return func(out string) bool { return strings.Count(strings.TrimSpace(out)+"\n", "\n") == n && out != "" }
}

func nothing(out string) bool { return out == "" }

func resolved(status metav1.ConditionStatus, reason string) func(*pol) bool {
	return has[*pol](v1alpha1.ConditionResolvedRefs, status, reason)
}

func TestPolicy(t *testing.T) {
	w := newWorld(t)
	await(t, w, w.network(t, "web", "10.1.0.0/24", "fd00:1::/64"), "ready", ready[*v1alpha1.Network])
	await(t, w, w.network(t, "db", "10.2.0.0/24"), "ready", ready[*v1alpha1.Network])
	db := await(t, w, w.policy(t, "db", `{network: db, ingress: [{action: Allow, peers: [{network: web}], protocol: tcp, ports: [{port: 5432}]}, {action: Deny, log: true}]}`),
		"ready", ready[*pol])
	rows := w.eventually(t, "ACLs", lines(9), acls...) // two rules, and what each network with policies has

	t.Run("endpoints change no ACL", func(t *testing.T) {
		for i := range 5 {
			await(t, w, w.attachment(t, fmt.Sprint("db-", i), "db", nil), "programmed", programmed[*v1alpha1.Attachment])
		}
		if now := w.nb(t, acls...); now != rows {
			t.Errorf("were\n%s\nare\n%s", rows, now)
		}
	})

	t.Run("log lines have a name and a bound", func(t *testing.T) {
		got := w.nb(t, "--bare", "--columns=name,log,severity,meter", "find", "ACL", "log=true")
		if got != "db/ingress[1]\ntrue\ninfo\narca-acl-log" {
			t.Errorf("got %q", got)
		}
		if got := w.nb(t, "--bare", "--columns=name", "list", "Meter"); got != "arca-acl-log" {
			t.Errorf("meter %q", got)
		}
	})

	t.Run("what is changed by hand is put back", func(t *testing.T) {
		for _, edit := range [][]string{
			{"acl-del", "arca-db"},
			{"set", "ACL", "", "action=allow"},
			{"set", "ACL", "", "name=other"},
			{"lr-policy-del", "arca"},
			{"meter-del"},
		} {
			if edit[0] == "set" {
				edit[2] = w.nb(t, "--bare", "--columns=_uuid", "find", "ACL", "log=true")
			}
			w.nb(t, edit...)
			w.eventually(t, fmt.Sprint("healing of ", edit), func(out string) bool { return sameLines(out, rows) }, acls...)
			w.eventually(t, "opening", lines(1), "--bare", "--columns=_uuid", "find", "Logical_Router_Policy", "priority=2000")
			w.eventually(t, "meter", lines(1), "--bare", "--columns=name", "list", "Meter")
		}
	})

	t.Run("one priority, two minds: the older wins until it goes", func(t *testing.T) {
		second := await(t, w, w.policy(t, "second", `{network: db, ingress: [{action: Reject, protocol: tcp, ports: [{port: 5000, endPort: 6000}]}]}`),
			"refused", refused[*pol](v1alpha1.ReasonPriorityConflict))
		message := second.Status.Conditions[0].Message
		for _, part := range []string{"spec.priority: 0", "policy db", "spec.ingress[0] says Allow"} {
			if !strings.Contains(message, part) {
				t.Errorf("message %q does not say %q", message, part)
			}
		}
		if now := w.nb(t, acls...); !sameLines(now, rows) {
			t.Errorf("a refused policy has rows: %s", now)
		}
		w.delete(t, db)
		gone(t, w, db)
		await(t, w, second, "ready", ready[*pol])
		w.delete(t, second)
		gone(t, w, second)
		w.eventually(t, "no ACL of a policy", nothing, acls...)
		w.eventually(t, "no opening", nothing, "--bare", "--columns=_uuid", "find", "Logical_Router_Policy", "priority=2000")
		w.eventually(t, "no meter", nothing, "--bare", "--columns=name", "list", "Meter")
	})

	t.Run("a network that is not there", func(t *testing.T) {
		p := await(t, w, w.policy(t, "early", `{network: late, ingress: [{action: Deny}]}`), "refused", refused[*pol](v1alpha1.ReasonNetworkNotFound))
		if m := p.Status.Conditions[0].Message; !strings.HasPrefix(m, "spec.network: network late") {
			t.Errorf("message %q", m)
		}
		peer := await(t, w, w.policy(t, "peer", `{network: web, priority: 3, ingress: [{action: Deny, peers: [{network: late}]}]}`),
			"unresolved", resolved(metav1.ConditionFalse, v1alpha1.ReasonNetworkNotFound))
		if m := meta.FindStatusCondition(peer.Status.Conditions, v1alpha1.ConditionResolvedRefs).Message; !strings.Contains(m, "spec.ingress[0].peers[0].network: network late") {
			t.Errorf("message %q", m)
		}
		await(t, w, peer, "ready all the same", ready[*pol])
		late := await(t, w, w.network(t, "late", "10.3.0.0/24"), "ready", ready[*v1alpha1.Network])
		await(t, w, p, "ready", ready[*pol])
		await(t, w, peer, "resolved", resolved(metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs))
		w.eventually(t, "a rule with the new subnet", func(out string) bool { return strings.Contains(out, "10.3.0.0/24") }, acls...)
		w.delete(t, late)
		gone(t, w, late)
		await(t, w, p, "refused again", refused[*pol](v1alpha1.ReasonNetworkNotFound))
		w.delete(t, p)
		w.delete(t, peer)
		gone(t, w, p)
		gone(t, w, peer)
	})

	t.Run("a change that is refused leaves in force what was", func(t *testing.T) {
		home := await(t, w, w.network(t, "home", "10.7.0.0/24"), "ready", ready[*v1alpha1.Network])
		p := await(t, w, w.policy(t, "kept", `{network: home, priority: 2, ingress: [{action: Allow, peers: [{network: web}]}, {action: Deny}]}`), "ready", ready[*pol])
		rows := w.eventually(t, "ACLs", func(out string) bool { return strings.Contains(out, string(p.UID)+"/ingress/1") }, acls...)
		openings := []string{"--bare", "--columns=_uuid,match", "find", "Logical_Router_Policy", "priority=2000"}
		opening := w.nb(t, openings...)
		change := func(f func(*v1alpha1.PolicySpec)) {
			t.Helper()
			patch := client.MergeFrom(p.DeepCopy())
			f(&p.Spec)
			if err := w.Patch(t.Context(), p, patch); err != nil {
				t.Fatal(err)
			}
		}
		same := func(when string) {
			t.Helper()
			if now := w.nb(t, acls...); !sameLines(now, rows) {
				t.Errorf("%s: ACLs were\n%s\nare\n%s", when, rows, now)
			}
			if now := w.nb(t, openings...); now != opening {
				t.Errorf("%s: the router's were %q, are %q", when, opening, now)
			}
		}
		former := p.Spec.DeepCopy()
		for reason, f := range map[string]func(*v1alpha1.PolicySpec){
			v1alpha1.ReasonFamilyMismatch: func(s *v1alpha1.PolicySpec) {
				s.Priority, s.Ingress = 3, []v1alpha1.PolicyRule{{Action: v1alpha1.PolicyAllow, Peers: []v1alpha1.PolicyPeer{{CIDR: "2001:db8::/32"}}}}
			},
			v1alpha1.ReasonNetworkNotFound: func(s *v1alpha1.PolicySpec) { s.Network = "nowhere" },
			v1alpha1.ReasonInvalid: func(s *v1alpha1.PolicySpec) {
				s.Network, s.Selector = "", &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}}
			},
		} {
			change(f)
			await(t, w, p, "refused", refused[*pol](reason))
			same(reason)
			if !meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionProgrammed) || p.Status.InForce.Priority != 2 {
				t.Errorf("in force is %+v, of %+v", p.Status.InForce, p.Status.Conditions)
			}
			change(func(s *v1alpha1.PolicySpec) { *s = *former.DeepCopy() })
			await(t, w, p, "accepted as before", ready[*pol])
			same("put back")
		}

		change(func(s *v1alpha1.PolicySpec) { s.Network = "nowhere" })
		await(t, w, p, "refused", refused[*pol](v1alpha1.ReasonNetworkNotFound))
		beside := await(t, w, w.policy(t, "beside", `{network: home, priority: 2, ingress: [{action: Reject}]}`),
			"refused", refused[*pol](v1alpha1.ReasonPriorityConflict))
		if m := beside.Status.Conditions[0].Message; !strings.Contains(m, "policy kept") || !strings.Contains(m, "status.inForce.ingress[0] says Allow") {
			t.Errorf("message %q", m)
		}
		w.delete(t, beside)
		gone(t, w, beside)
		w.stop()
		w.run(t)
		another := await(t, w, w.policy(t, "another", `{network: db, priority: 1, ingress: [{action: Deny}]}`), "ready", ready[*pol])
		w.delete(t, another)
		gone(t, w, another)
		same("after a restart")
		w.nb(t, "acl-del", "arca-home")
		w.eventually(t, "healing", func(out string) bool { return sameLines(out, rows) }, acls...)

		w.delete(t, home)
		gone(t, w, home)
		await(t, w, p, "nothing in force", func(p *pol) bool { return p.Status.InForce == nil })
		if !has[*pol](v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonNotAccepted)(p) {
			t.Errorf("conditions %+v", p.Status.Conditions)
		}
		w.eventually(t, "no ACL without the network", func(out string) bool { return !strings.Contains(out, string(p.UID)) }, acls...)
		await(t, w, w.network(t, "home", "10.7.0.0/24"), "ready", ready[*v1alpha1.Network])
		change(func(s *v1alpha1.PolicySpec) { s.Network = "home" })
		await(t, w, p, "ready", ready[*pol])
		change(func(s *v1alpha1.PolicySpec) { s.Network = "nowhere" })
		await(t, w, p, "refused", refused[*pol](v1alpha1.ReasonNetworkNotFound))
		w.delete(t, p)
		gone(t, w, p)
		w.eventually(t, "no ACL without the policy", func(out string) bool { return !strings.Contains(out, string(p.UID)) }, acls...)
	})

	t.Run("a peer of a family that the network does not have", func(t *testing.T) {
		await(t, w, w.network(t, "six", "fd00:6::/64"), "ready", ready[*v1alpha1.Network])
		for network, c := range map[string]struct{ peer, lacks string }{
			"db":  {"2001:db8::/32", "no IPv6 subnet, only 10.2.0.0/24"},
			"six": {"192.0.2.0/24", "no IPv4 subnet, only fd00:6::/64"},
		} {
			p := await(t, w, w.policy(t, "family", `{network: `+network+`, priority: 9, egress: [{action: Deny, peers: [{cidr: "`+c.peer+`"}]}]}`),
				"refused", refused[*pol](v1alpha1.ReasonFamilyMismatch))
			if m := p.Status.Conditions[0].Message; m != "spec.egress[0].peers[0].cidr: "+c.peer+": network "+network+" has "+c.lacks {
				t.Errorf("message %q", m)
			}
			w.delete(t, p)
			gone(t, w, p)
		}
	})
}

// sameLines compares lines in any order.
func sameLines(a, b string) bool {
	count := map[string]int{}
	for _, l := range strings.Split(a, "\n") {
		count[l]++
	}
	for _, l := range strings.Split(b, "\n") {
		count[l]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

func TestPolicySelector(t *testing.T) {
	w := newWorld(t)
	await(t, w, w.network(t, "one", "10.1.0.0/24"), "ready", ready[*v1alpha1.Network])
	await(t, w, w.network(t, "two", "10.2.0.0/24", "fd00:2::/64"), "ready", ready[*v1alpha1.Network])
	p := await(t, w, w.policy(t, "shop", `{selector: {matchLabels: {app: shop}}, ingress: [{action: Allow, peers: [{selector: {matchLabels: {app: till}}}]}, {action: Deny}]}`),
		"unresolved", resolved(metav1.ConditionFalse, v1alpha1.ReasonNothingSelected))
	if m := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionResolvedRefs).Message; m != "no attachment has such labels: spec.selector, spec.ingress[0].peers[0].selector" {
		t.Errorf("message %q", m)
	}
	await(t, w, p, "ready all the same", ready[*pol])
	w.eventually(t, "no ACL without an endpoint", nothing, acls...)
	shop := await(t, w, w.labelled(t, "shop-1", "one", map[string]string{"app": "shop"}), "programmed", programmed[*v1alpha1.Attachment])
	rows := w.eventually(t, "ACLs in its network", func(out string) bool { return strings.Contains(out, "policy/one/") }, acls...)
	if strings.Contains(rows, "policy/two/") {
		t.Error("a network without selected endpoints has ACLs")
	}
	till := await(t, w, w.labelled(t, "till-1", "two", map[string]string{"app": "till"}), "programmed", programmed[*v1alpha1.Attachment])
	await(t, w, p, "resolved", resolved(metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs))
	await(t, w, p, "ready", ready[*pol])

	t.Run("addresses are in the sets, and their link-local ones", func(t *testing.T) {
		out := w.nb(t, "--bare", "--columns=addresses", "find", "Address_Set", "external_ids:arca-owner-kind=Policy")
		for _, want := range []string{"10.1.0.2", "10.2.0.2", "fd00:2::2", "fe80::"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q has no %s", out, want)
			}
		}
	})

	t.Run("a second one joins without a change of rules", func(t *testing.T) {
		before := w.nb(t, acls...)
		await(t, w, w.labelled(t, "shop-2", "one", map[string]string{"app": "shop"}), "programmed", programmed[*v1alpha1.Attachment])
		if out := w.nb(t, "--bare", "--columns=addresses", "find", "Address_Set", "external_ids:arca-owner-kind=Policy"); strings.Count(out, "10.1.0.3") != 2 {
			t.Errorf("programmed and not in its two sets: %q", out)
		}
		if now := w.nb(t, acls...); now != before {
			t.Errorf("ACLs were\n%s\nare\n%s", before, now)
		}
	})

	t.Run("over a restart nobody leaves", func(t *testing.T) {
		before := w.nb(t, "--columns=_uuid,name,addresses", "find", "Address_Set", "external_ids:arca-owner-kind=Policy")
		w.stop()
		w.run(t)
		await(t, w, w.labelled(t, "other", "one", nil), "programmed", programmed[*v1alpha1.Attachment])
		if now := w.nb(t, "--columns=_uuid,name,addresses", "find", "Address_Set", "external_ids:arca-owner-kind=Policy"); now != before {
			t.Errorf("sets were\n%s\nare\n%s", before, now)
		}
	})

	t.Run("sets that are emptied are filled again", func(t *testing.T) {
		before := w.nb(t, "--bare", "--columns=name,addresses", "find", "Address_Set", "external_ids:arca-owner-kind=Policy")
		for _, id := range strings.Fields(w.nb(t, "--bare", "--columns=_uuid", "find", "Address_Set", "external_ids:arca-owner-kind=Policy")) {
			w.nb(t, "clear", "Address_Set", id, "addresses")
		}
		w.eventually(t, "all addresses", func(out string) bool { return sameLines(out, before) }, "--bare", "--columns=name,addresses", "find", "Address_Set", "external_ids:arca-owner-kind=Policy")
	})

	t.Run("sets that are deleted come back with their addresses", func(t *testing.T) {
		before := w.nb(t, "--bare", "--columns=name,addresses", "find", "Address_Set", "external_ids:arca-owner-kind=Policy")
		for _, id := range strings.Fields(w.nb(t, "--bare", "--columns=_uuid", "find", "Address_Set", "external_ids:arca-owner-kind=Policy")) {
			w.nb(t, "destroy", "Address_Set", id)
		}
		w.eventually(t, "all addresses", func(out string) bool { return sameLines(out, before) }, "--bare", "--columns=name,addresses", "find", "Address_Set", "external_ids:arca-owner-kind=Policy")
	})

	t.Run("who loses the label leaves", func(t *testing.T) {
		for _, a := range []*v1alpha1.Attachment{shop, till} {
			patch := client.MergeFrom(a.DeepCopy())
			a.Labels = nil
			if err := w.Patch(t.Context(), a, patch); err != nil {
				t.Fatal(err)
			}
		}
		w.eventually(t, "till's addresses gone", func(out string) bool { return !strings.Contains(out, "10.2.0.2") && !strings.Contains(out, "10.1.0.2") },
			"--bare", "--columns=addresses", "find", "Address_Set", "external_ids:arca-owner-kind=Policy")
	})

	w.delete(t, p)
	gone(t, w, p)
	w.eventually(t, "no set of a policy", nothing, "--bare", "--columns=name", "find", "Address_Set", "external_ids:arca-owner-kind=Policy")
	w.eventually(t, "no ACL of a policy", nothing, acls...)
}
