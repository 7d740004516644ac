// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"testing"
	"time"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/policy/policytest"
)

// sets are policies that are in force together, by name. Those of one priority
// do not conflict.
var sets = []struct {
	name     string
	policies map[string]string
}{
	{"none", nil},
	{"a network opens for another", map[string]string{
		"db": "{network: db, priority: 10, ingress: [{action: Allow, peers: [{network: web}], protocol: tcp, ports: [{port: 443}]}, {action: Allow, peers: [{network: web}], protocol: icmp}, {action: Reject}]}",
	}},
	{"by label, with denies before and after", map[string]string{
		"first":  "{selector: {matchLabels: {app: shop}}, priority: 1, ingress: [{action: Deny, protocol: udp, ports: [{port: 80}]}], egress: [{action: Reject, peers: [{selector: {matchLabels: {tier: back}}}], protocol: tcp, ports: [{port: 80, endPort: 90}]}]}",
		"second": "{selector: {matchLabels: {tier: back}}, priority: 2, ingress: [{action: Allow, peers: [{selector: {matchLabels: {app: shop}}}, {network: alone}], log: true}, {action: Deny, peers: [{network: web}]}]}",
		"third":  "{network: web, priority: 3, egress: [{action: Allow, peers: [{network: db}], protocol: udp, ports: [{port: 8000, endPort: 9000}]}, {action: Allow, peers: [{network: db}], protocol: sctp}, {action: Deny, protocol: sctp}]}",
	}},
	{"each opens for the other, and ranges with exceptions", map[string]string{
		"db":    "{network: db, priority: 5, ingress: [{action: Allow, peers: [{cidr: 10.1.0.0/16, except: [10.1.0.2/32]}, {cidr: 'fd00:1::/64'}], protocol: tcp}], egress: [{action: Deny, peers: [{network: db}], protocol: udp}]}",
		"web":   "{network: web, priority: 5, ingress: [{action: Allow, peers: [{network: db}], protocol: udp, ports: [{port: 80}, {port: 8042}]}, {action: Reject, peers: [{network: alone}]}]}",
		"alone": "{network: alone, priority: 7, ingress: [{action: Allow, peers: [{selector: {matchLabels: {app: shop}}}], protocol: tcp, ports: [{port: 80}]}], egress: [{action: Allow, protocol: icmp}, {action: Allow, peers: [{network: web}], protocol: tcp}]}",
	}},
	{"everything is closed but by name", map[string]string{
		"all": "{selector: {}, priority: 1000, ingress: [{action: Deny}], egress: [{action: Deny}]}",
		"a":   "{network: web, priority: 4, ingress: [{action: Allow, peers: [{network: web}], protocol: tcp, ports: [{port: 80}]}], egress: [{action: Allow, peers: [{network: web}, {network: db}], protocol: tcp}]}",
		"b":   "{selector: {matchLabels: {tier: back}}, priority: 0, ingress: [{action: Allow, peers: [{selector: {}}], protocol: tcp, ports: [{port: 443}]}]}",
	}},
}

// TestTruthTable tries everything from everywhere to everywhere, and compares
// with what the oracle says.
func TestTruthTable(t *testing.T) {
	w := newWorld(t)
	w.network(t, "web", false, "10.1.0.0/24", "fd00:1::/64")
	w.network(t, "db", false, "10.2.0.0/24", "fd00:2::/64")
	w.network(t, "alone", true, "10.3.0.0/24", "fd00:3::/64")
	seen := &sctpSeen{init: map[uint32]bool{}, aborts: map[uint16]bool{}}
	for _, e := range []struct {
		name, network string
		labels        map[string]string
	}{
		{"web-1", "web", map[string]string{"app": "shop"}},
		{"web-2", "web", map[string]string{"tier": "back"}},
		{"db-1", "db", map[string]string{"tier": "back"}},
		{"db-2", "db", nil},
		{"alone-1", "alone", map[string]string{"app": "shop"}},
		{"alone-2", "alone", nil},
	} {
		w.endpoint(t, e.name, e.network, e.labels)
		listen(t, w.spaces[e.name], seen)
	}
	total, counts := 0, map[string]int{}
	for _, set := range sets {
		t.Run(set.name, func(t *testing.T) {
			var policies []*v1alpha1.Policy
			for name, spec := range set.policies {
				policies = append(policies, w.policy(t, name, spec))
			}
			for _, p := range policies {
				w.ready(t, p)
			}
			w.settled(t)
			probes := w.everything()
			wrong := w.compare(t, seen, probes, policies, 2*time.Second, false)
			first := len(wrong)
			for _, p := range wrong {
				t.Logf("once more: %v was %s (%v)", p, p.outcome, p.why)
			}
			wrong = w.compare(t, seen, wrong, policies, 6*time.Second, true) // what a busy machine was too slow for
			for _, p := range probes {
				counts[p.outcome]++
			}
			total += len(probes)
			t.Logf("%d probes, %d wrong at first, %d at last", len(probes), first, len(wrong))
			for _, p := range policies {
				w.remove(t, p)
			}
		})
	}
	t.Logf("%d probes: %v", total, counts)
	if total < 2000 || counts[policytest.Rejected] == 0 || counts[policytest.Passes] == 0 || counts[policytest.Dropped] == 0 {
		t.Errorf("%d probes with outcomes %v are too few", total, counts)
	}
}

// everything is every attempt that can be made.
func (w *world) everything() []*probe {
	var out []*probe
	for _, from := range w.hosts {
		for _, to := range w.hosts {
			if from.IsGateway || from.Name == to.Name || to.IsGateway && to.Network != from.Network {
				continue
			}
			for _, is6 := range []bool{false, true} {
				out = append(out, &probe{from: from, to: to, is6: is6, protocol: "icmp"})
				if to.IsGateway {
					continue
				}
				for _, port := range ports {
					for _, protocol := range []string{"tcp", "udp", "sctp"} {
						out = append(out, &probe{from: from, to: to, is6: is6, protocol: protocol, port: port})
					}
				}
			}
		}
	}
	return out
}

// compare makes attempts and returns those that came out otherwise than the
// oracle says. What passes and must not is wrong for good; the rest is only in
// the last try.
func (w *world) compare(t *testing.T, seen *sctpSeen, probes []*probe, policies []*v1alpha1.Policy, within time.Duration, last bool) []*probe {
	t.Helper()
	if err := run(w.spaces, seen, probes, within); err != nil {
		t.Fatal(err)
	}
	var wrong []*probe
	for _, p := range probes {
		want := policytest.Oracle(w.networks, policies, p.from, p.to, p.is6, p.protocol, p.port)
		if p.outcome == want {
			continue
		}
		wrong = append(wrong, p)
		if last || p.outcome == policytest.Passes {
			t.Errorf("%v: %s (%v), want %s", p, p.outcome, p.why, want)
		}
	}
	return wrong
}
