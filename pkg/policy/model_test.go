// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
	"github.com/vas-solutus/arca-network/pkg/policy"
	"github.com/vas-solutus/arca-network/pkg/policy/policytest"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// TestAgainstOracle compiles random policies, evaluates the text of the rows
// for random traffic as OVN does, and compares with what the oracle says.
func TestAgainstOracle(t *testing.T) {
	seeds := 400
	if testing.Short() {
		seeds = 50
	}
	counts := map[string]int{}
	for seed := range seeds {
		check(t, uint64(seed), counts)
		if t.Failed() {
			return
		}
	}
	t.Log(counts)
	for _, outcome := range []string{policytest.Passes, policytest.Dropped, policytest.Rejected} {
		if counts[outcome] == 0 {
			t.Errorf("no attempt was to be %s: the worlds are too simple", outcome)
		}
	}
}

// FuzzAgainstOracle does the same for whatever seeds the fuzzer finds.
func FuzzAgainstOracle(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { check(t, seed, map[string]int{}) })
}

func check(t *testing.T, seed uint64, counts map[string]int) {
	t.Helper()
	w := newWorld(t, seed)
	for range 150 {
		from, to := w.hosts[w.r.IntN(len(w.hosts))], w.hosts[w.r.IntN(len(w.hosts))]
		is6 := w.r.IntN(2) == 0
		protocol := pick(w.r, "tcp", "udp", "sctp", "icmp")
		port := 0
		if protocol != "icmp" {
			port = pick(w.r, 53, 67, 80, 443, 8000, 8042, 9000)
		}
		_, ok1 := from.Address(is6)
		_, ok2 := to.Address(is6)
		if from.Name == to.Name || !ok1 || !ok2 || from.IsGateway || from.Network == "" && (to.Network == "" || to.IsGateway) ||
			to.IsGateway && from.Network != to.Network || port == 67 && !to.IsGateway { // no endpoint is a DHCP server
			continue
		}
		want := policytest.Oracle(w.networks, w.policies, from, to, is6, protocol, port)
		got, why := w.attempt(from, to, is6, protocol, port)
		counts[got]++
		if got != want {
			text, _ := yaml.Marshal(w.policies)
			t.Fatalf("seed %d: %s → %s, IPv6 %v, %s %d: %s (%s), want %s\n%s", seed, from.Name, to.Name, is6, protocol, port, got, why, want, text)
		}
	}
}

// world is a set of networks, endpoints and policies, and the rows of them.
type world struct {
	r        *rand.Rand
	networks []*v1alpha1.Network
	hosts    []policytest.Host
	policies []*v1alpha1.Policy
	acls     map[string][]nbdb.ACL // by network
	router   []nbdb.LogicalRouterPolicy
	sets     map[string][]netip.Prefix
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{r: rand.New(rand.NewPCG(seed, 0)), acls: map[string][]nbdb.ACL{}, sets: map[string][]netip.Prefix{}}
	for i, name := range []string{"a", "b", "c"} {
		n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name)}}
		n.Status.Subnets = []v1alpha1.SubnetStatus{
			{CIDR: fmt.Sprintf("10.0.%d.0/24", i), Gateway: fmt.Sprintf("10.0.%d.1", i)},
			{CIDR: fmt.Sprintf("fd00:%d::/64", i), Gateway: fmt.Sprintf("fd00:%d::1", i)},
		}
		switch w.r.IntN(4) {
		case 0:
			n.Status.Subnets = n.Status.Subnets[:1]
		case 1:
			n.Status.Subnets = n.Status.Subnets[1:]
		}
		if w.r.IntN(3) == 0 {
			no := false
			n.Spec.InterContainer = &no
		}
		w.networks = append(w.networks, n)
		gateway := policytest.Host{Name: "gateway of " + name, Network: name, IsGateway: true, MAC: topology.RouterMAC(name).String()}
		for _, s := range n.Status.Subnets {
			gateway.Addresses = append(gateway.Addresses, netip.MustParseAddr(s.Gateway))
		}
		w.hosts = append(w.hosts, gateway)
		for j := range 3 {
			h := policytest.Host{Name: fmt.Sprint(name, j), Network: name, MAC: fmt.Sprintf("02:00:00:00:0%d:0%d", i, j), Labels: labels.Set{}}
			for _, g := range gateway.Addresses {
				b := g.AsSlice()
				b[len(b)-1] = byte(10 + j)
				a, _ := netip.AddrFromSlice(b)
				h.Addresses = append(h.Addresses, a)
			}
			for _, k := range []string{"app", "tier"} {
				if v := pick(w.r, "", "x", "y"); v != "" {
					h.Labels[k] = v
				}
			}
			w.hosts = append(w.hosts, h)
		}
	}
	for _, a := range []string{"192.0.2.7", "2001:db8::7"} {
		w.hosts = append(w.hosts, policytest.Host{Name: "outside " + a, Addresses: []netip.Addr{netip.MustParseAddr(a)}})
	}
	w.addPolicies()
	w.compile(t)
	return w
}

func (w *world) addPolicies() {
	for i := range w.r.IntN(6) {
		p := &v1alpha1.Policy{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprint("p", i), UID: types.UID(fmt.Sprint("uid-p", i)), CreationTimestamp: metav1.NewTime(time.Unix(int64(i), 0)),
		}}
		p.Spec.Priority = int32(w.r.IntN(4))
		if w.r.IntN(2) == 0 {
			p.Spec.Network = pick(w.r, "a", "b", "c")
		} else {
			p.Spec.Selector = w.selector()
		}
		for range w.r.IntN(4) {
			p.Spec.Ingress = append(p.Spec.Ingress, w.rule())
		}
		for range w.r.IntN(4) {
			p.Spec.Egress = append(p.Spec.Egress, w.rule())
		}
		w.policies = append(w.policies, p)
	}
}

func (w *world) selector() *metav1.LabelSelector {
	if w.r.IntN(8) == 0 {
		return &metav1.LabelSelector{}
	}
	return &metav1.LabelSelector{MatchLabels: map[string]string{pick(w.r, "app", "tier"): pick(w.r, "x", "y", "z")}}
}

func (w *world) rule() v1alpha1.PolicyRule {
	r := v1alpha1.PolicyRule{
		Action:   pick(w.r, v1alpha1.PolicyAllow, v1alpha1.PolicyAllow, v1alpha1.PolicyDeny, v1alpha1.PolicyReject),
		Protocol: pick(w.r, "", "any", v1alpha1.PolicyTCP, v1alpha1.PolicyUDP, v1alpha1.PolicySCTP, v1alpha1.PolicyICMP),
		Log:      w.r.IntN(4) == 0,
	}
	for range w.r.IntN(3) {
		r.Peers = append(r.Peers, w.peer())
	}
	if r.Protocol == v1alpha1.PolicyTCP || r.Protocol == v1alpha1.PolicyUDP || r.Protocol == v1alpha1.PolicySCTP {
		for range w.r.IntN(3) {
			r.Ports = append(r.Ports, pick(w.r, v1alpha1.PortRange{Port: 80}, v1alpha1.PortRange{Port: 53}, v1alpha1.PortRange{Port: 443},
				v1alpha1.PortRange{Port: 8000, EndPort: 8080}, v1alpha1.PortRange{Port: 1, EndPort: 1023}))
		}
	}
	return r
}

func (w *world) peer() v1alpha1.PolicyPeer {
	switch w.r.IntN(4) {
	case 0:
		return v1alpha1.PolicyPeer{Network: pick(w.r, "a", "b", "c", "missing")}
	case 1:
		return v1alpha1.PolicyPeer{Selector: w.selector()}
	case 2:
		return v1alpha1.PolicyPeer{Internet: true}
	}
	return pick(w.r,
		v1alpha1.PolicyPeer{CIDR: "10.0.0.0/16", Except: []string{"10.0.1.0/24"}}, v1alpha1.PolicyPeer{CIDR: "10.0.2.11/32"},
		v1alpha1.PolicyPeer{CIDR: "0.0.0.0/0", Except: []string{"10.0.0.10/32", "10.0.0.1/32"}}, v1alpha1.PolicyPeer{CIDR: "::/0"},
		v1alpha1.PolicyPeer{CIDR: "fd00:1::/64", Except: []string{"fd00:1::b/128"}}, v1alpha1.PolicyPeer{CIDR: "192.0.2.0/24"})
}

// compile makes rows of the objects as the controllers do.
func (w *world) compile(t *testing.T) {
	t.Helper()
	var networks []policy.Network
	rows := topology.Shared()
	for _, n := range w.networks {
		one, err := policy.NetworkOf(n)
		if err != nil {
			t.Fatal(err)
		}
		networks = append(networks, one)
		more, err := topology.Network(n)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, more...)
	}
	var endpoints []policy.Endpoint
	for _, h := range w.hosts {
		if h.Network != "" && !h.IsGateway {
			endpoints = append(endpoints, policy.Endpoint{Network: h.Network, Labels: h.Labels})
		}
	}
	survey := policy.Look(w.policies, endpoints)
	verdicts := policy.Judge(policy.Case{Networks: networks, Survey: survey, Policies: w.policies})
	w.policies = slices.DeleteFunc(w.policies, func(p *v1alpha1.Policy) bool { return !verdicts[p.Name].Accepted() })
	program, err := policy.Compile(policy.Input{Networks: networks, Policies: w.policies, Selected: survey.Selected})
	if err != nil {
		t.Fatal(err)
	}
	w.load(t, append(rows, program.Rows...))
	for _, h := range w.hosts {
		w.join(t, h, program)
	}
}

func (w *world) load(t *testing.T, rows []ovnsync.Row) {
	t.Helper()
	seen := map[string]bool{}
	for _, r := range rows {
		if id := fmt.Sprintf("%T %s", r.Model, r.ID); seen[id] {
			t.Fatalf("two rows %s", id)
		} else {
			seen[id] = true
		}
		switch m := r.Model.(type) {
		case *nbdb.AddressSet:
			w.sets[m.Name] = nil
			for _, a := range m.Addresses {
				w.put(m.Name, a)
			}
		case *nbdb.ACL:
			network := strings.TrimPrefix(r.Members[0].ID, "network/")
			w.acls[network] = append(w.acls[network], *m)
		case *nbdb.LogicalRouterPolicy:
			w.router = append(w.router, *m)
		}
	}
	for _, r := range rows {
		for _, m := range r.Members {
			if m.Table == nbdb.AddressSetTable {
				w.put(m.ID, m.Value)
			}
		}
	}
}

func (w *world) put(set, value string) {
	if !strings.Contains(value, "/") {
		a := netip.MustParseAddr(value)
		w.sets[set] = append(w.sets[set], netip.PrefixFrom(a, a.BitLen()))
		return
	}
	w.sets[set] = append(w.sets[set], netip.MustParsePrefix(value))
}

// join puts an endpoint's addresses where its labels say, as its reconciler does.
func (w *world) join(t *testing.T, h policytest.Host, program *policy.Program) {
	t.Helper()
	if h.Network == "" || h.IsGateway {
		return
	}
	for _, p := range w.policies {
		subject, _ := policy.SubjectSelector(p)
		for key, s := range policy.Selectors(p) {
			if !s.Matches(h.Labels) {
				continue
			}
			for _, a := range h.Addresses {
				for _, m := range policy.Memberships(key, "uid-"+h.Network, key == subject.Key, a.String()) {
					if _, there := w.sets[m.ID]; !there {
						t.Fatalf("%s is to join %s, which no row makes", h.Name, m.ID)
					}
					if !program.Networks[h.Network] && key == subject.Key {
						t.Fatalf("%s is selected, and its network has no gate", h.Name)
					}
					w.put(m.ID, m.Value)
				}
			}
		}
	}
}

// attempt sends a packet from one host to another, and a reply back, through
// switches and router as OVN would. It tells where it ended.
func (w *world) attempt(from, to policytest.Host, is6 bool, protocol string, port int) (outcome, why string) {
	source, _ := from.Address(is6)
	destination, _ := to.Address(is6)
	there := packet{src: source, dst: destination, protocol: protocol, srcPort: 40000, dstPort: port}
	if action, why := w.walk(from, to, there, false); action != policytest.Passes {
		return action, why
	}
	back := packet{src: destination, dst: source, protocol: protocol, srcPort: port, dstPort: 40000}
	if action, why := w.walk(to, from, back, true); action != policytest.Passes {
		return "reply " + action, why
	}
	return policytest.Passes, ""
}

// walk sends one packet. At an endpoint's own port an established packet is
// not judged where the switch is stateful; at a router port nothing is tracked.
func (w *world) walk(from, to policytest.Host, p packet, established bool) (outcome, why string) {
	routed := from.Network != to.Network || to.IsGateway || from.IsGateway
	if from.Network != "" && !from.IsGateway {
		p.srcMAC, p.dstMAC = from.MAC, to.MAC
		if routed {
			p.dstMAC = topology.RouterMAC(from.Network).String()
		}
		if !(established && w.stateful(from.Network)) {
			if out := w.acl(from.Network, nbdb.ACLDirectionFromLport, p); out != policytest.Passes {
				return out, "sending from " + from.Network
			}
		}
		if routed {
			if out := w.acl(from.Network, nbdb.ACLDirectionToLport, p); out != policytest.Passes {
				return out, "leaving " + from.Network + " for the router"
			}
		}
	}
	if routed && !to.IsGateway && !from.IsGateway {
		if !w.routes(p) {
			return policytest.Dropped, "in the router"
		}
	}
	if to.Network == "" || to.IsGateway {
		return policytest.Passes, ""
	}
	if routed {
		p.srcMAC, p.dstMAC = topology.RouterMAC(to.Network).String(), to.MAC
		if out := w.acl(to.Network, nbdb.ACLDirectionFromLport, p); out != policytest.Passes {
			return out, "entering " + to.Network + " from the router"
		}
	}
	if established && w.stateful(to.Network) {
		return policytest.Passes, ""
	}
	return w.acl(to.Network, nbdb.ACLDirectionToLport, p), "arriving in " + to.Network
}

func (w *world) stateful(network string) bool {
	return slices.ContainsFunc(w.acls[network], func(a nbdb.ACL) bool { return a.Action == nbdb.ACLActionAllowRelated })
}

// acl finds what the ACLs of highest priority that match do. They must agree.
func (w *world) acl(network, direction string, p packet) string {
	best, action := -1, nbdb.ACLActionAllow
	for _, a := range w.acls[network] {
		if a.Direction != direction || a.Priority < best || !matches(w.sets, a.Match, p) {
			continue
		}
		if a.Priority == best && outcomes[a.Action] != outcomes[action] {
			panic(fmt.Sprintf("two ACLs of priority %d disagree", best))
		}
		best, action = a.Priority, a.Action
	}
	return outcomes[action]
}

var outcomes = map[string]string{
	nbdb.ACLActionAllow: policytest.Passes, nbdb.ACLActionAllowRelated: policytest.Passes, nbdb.ACLActionAllowStateless: policytest.Passes,
	nbdb.ACLActionDrop: policytest.Dropped, nbdb.ACLActionReject: policytest.Rejected,
}

func (w *world) routes(p packet) bool {
	best, action := -1, nbdb.LogicalRouterPolicyActionAllow
	for _, r := range w.router {
		if r.Priority > best && matches(w.sets, r.Match, p) {
			best, action = r.Priority, r.Action
		}
	}
	return action == nbdb.LogicalRouterPolicyActionAllow
}

// TestLinkLocal: endpoints reach each other by IPv6 link-local addresses on
// every network, and policies are for those too.
func TestLinkLocal(t *testing.T) {
	mac, _ := net.ParseMAC("02:00:00:00:00:05")
	if a := topology.LinkLocal(mac); a.String() != "fe80::ff:fe00:5" {
		t.Errorf("got %s", a)
	}
}
