// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ti-mo/conntrack"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/internal/nettest"
)

const (
	inet4, inet6 = "198.51.100.9", "2001:db8:51::9" // the world
	host4, host6 = "198.51.100.1", "2001:db8:51::1" // the host in the world
)

// newInet makes the world, and connects the host to it.
func newInet(t *testing.T) (host, inet *nettest.Namespace) {
	t.Helper()
	host, inet = nettest.Host(t), nettest.New(t, "inet")
	t.Cleanup(func() { host.IP("link del out0") })
	host.IP("link add out0 type veth peer name eth0 netns inet")
	host.IP("addr add " + host4 + "/24 dev out0")
	host.IP("addr add " + host6 + "/64 dev out0 nodad")
	host.IP("link set out0 up")
	inet.IP("addr add " + inet4 + "/24 dev eth0")
	inet.IP("addr add " + inet6 + "/64 dev eth0 nodad")
	inet.IP("link set eth0 up")
	for _, network := range []string{"tcp", "udp"} {
		inet.Serve(network, inet4, 7000, "inet")
		inet.Serve(network, inet6, 7000, "inet")
	}
	return host, inet
}

// container makes a namespace with an attachment, and waits for it to be ready.
func (w *world) container(t *testing.T, name, network string, ports ...v1alpha1.PublishedPort) (*nettest.Namespace, *v1alpha1.Attachment) {
	t.Helper()
	n := nettest.New(t, name)
	a := w.attachment(t, name, network, func(s *v1alpha1.AttachmentSpec) { s.Ports = ports })
	return n, await(t, w, a, "ready", ready[*v1alpha1.Attachment])
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%s did not come true", what)
		}
	}
}

func TestEgressAndPublishedPorts(t *testing.T) {
	w := newWorld(t)
	host, inet := newInet(t)
	w.network(t, "web", "10.1.0.0/24", "fd00:1::/64")
	w.network(t, "db", "10.2.0.0/24", "fd00:2::/64")
	hidden := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "hidden"}, Spec: v1alpha1.NetworkSpec{
		Internal: true, Subnets: []v1alpha1.Subnet{{CIDR: "10.3.0.0/24"}, {CIDR: "fd00:3::/64"}}}}
	routed := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "routed"}, Spec: v1alpha1.NetworkSpec{
		Egress: &v1alpha1.NetworkEgress{Mode: v1alpha1.EgressRouted}, Subnets: []v1alpha1.Subnet{{CIDR: "10.4.0.0/24"}, {CIDR: "fd00:4::/64"}}}}
	none := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: v1alpha1.NetworkSpec{
		Egress: &v1alpha1.NetworkEgress{Mode: v1alpha1.EgressNone}, Subnets: []v1alpha1.Subnet{{CIDR: "10.5.0.0/24"}, {CIDR: "fd00:5::/64"}}}}
	for _, n := range []*v1alpha1.Network{hidden, routed, none} {
		w.create(t, n)
	}
	web, webAt := w.container(t, "web-1", "web", v1alpha1.PublishedPort{HostPort: 8080, ContainerPort: 80},
		v1alpha1.PublishedPort{HostPort: 8080, HostPortEnd: 8081, ContainerPort: 80, Protocol: "udp"})
	web2, _ := w.container(t, "web-2", "web")
	db, _ := w.container(t, "db-1", "db")
	hid, hidAt := w.container(t, "hid-1", "hidden")
	rou, rouAt := w.container(t, "rou-1", "routed")
	non, _ := w.container(t, "non-1", "none", v1alpha1.PublishedPort{HostPort: 8090, ContainerPort: 80})
	for _, n := range []*nettest.Namespace{web, rou, non, hid} {
		n.Serve("tcp", "", 80, n.Name)
	}
	web.Serve("udp", "", 81, "web-1")
	host.Serve("tcp", "", 22, "host")
	inet.IP("route add 10.0.0.0/8 via " + host4)
	inet.IP("-6 route add fd00::/16 via " + host6)
	for _, is6 := range []bool{false, true} {
		pick := func(four, six string) string {
			if is6 {
				return six
			}
			return four
		}
		at := func(a *v1alpha1.Attachment) string {
			addr, _, _ := strings.Cut(a.Status.Addresses[map[bool]int{false: 0, true: 1}[is6]], "/")
			return addr
		}
		world, h, up := pick(inet4, inet6), pick(host4, host6), pick("100.64.0.2", "fdac:a64e:20d3:6440::2")
		eventually(t, "the first answer", func() bool {
			_, err := web.Ask("tcp", "", world, 7000, time.Second)
			return err == nil
		})
		for _, network := range []string{"tcp", "udp"} {
			web.Reaches(network, "", world, 7000, "inet "+h)
			rou.Reaches(network, "", world, 7000, "inet "+at(rouAt))
			hid.Blocked(network, "", world, 7000)
			non.Blocked(network, "", world, 7000)
		}
		web.Blocked("tcp", "", h, 22)
		web.Blocked("tcp", "", up, 22)
		inet.Reaches("tcp", "", at(rouAt), 80, "rou-1 "+world)
		inet.Blocked("tcp", "", at(webAt), 80)
		inet.Blocked("tcp", "", at(hidAt), 80)
		db.Blocked("tcp", "", at(webAt), 80)
		host.Reaches("tcp", "", at(webAt), 80, "web-1 "+up)
		host.Reaches("tcp", "", at(hidAt), 80, "hid-1 "+up)

		inet.Reaches("tcp", "", h, 8080, "web-1 "+world)
		inet.Reaches("udp", "", h, 8081, "web-1 "+world)
		inet.Reaches("tcp", "", h, 8090, "non-1 "+world)
		host.Reaches("tcp", "", h, 8080, "web-1 "+h)
		db.Reaches("tcp", "", h, 8080, "web-1 "+up)
		web2.Reaches("tcp", "", h, 8080, "web-1 "+up)
		web.Reaches("tcp", "", h, 8080, "web-1 "+up)
		hid.Blocked("tcp", "", h, 8080)
	}
	host.Reaches("tcp", "", "127.0.0.1", 8080, "web-1 100.64.0.2")

	// Flushed by hand.
	nettest.Run(t, "nft", "flush", "ruleset")
	eventually(t, "the table", func() bool { return natIsBack(t) })
	inet.Reaches("tcp", "", host4, 8080, "web-1 "+inet4)

	// The controllers go and come: connections stay, and the table is adopted.
	in, err := inet.Dial("tcp", "", host4, 8080, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	if _, err := in.Ask(time.Second); err != nil {
		t.Fatal(err)
	}
	before := nettest.Run(t, "nft", "-a", "list", "table", "inet", "arca")
	w.stop()
	if _, err := in.Ask(time.Second); err != nil {
		t.Error(err)
	}
	w.run(t)
	await(t, w, webAt, "ready", ready[*v1alpha1.Attachment])
	if _, err := in.Ask(time.Second); err != nil {
		t.Error(err)
	}
	if after := nettest.Run(t, "nft", "-a", "list", "table", "inet", "arca"); after != before {
		t.Errorf("the table was written anew:\n%s\nbefore:\n%s", after, before)
	}

	// The attachment goes, and its port with it.
	w.delete(t, webAt)
	gone(t, w, webAt)
	inet.Blocked("tcp", "", host4, 8080)
	if _, err := in.Ask(time.Second); err == nil {
		t.Error("the connection outlived the attachment")
	}
}

// TestAddressChangesCutConnections: who gets an address that another attachment
// had gets none of its answers; the connections of what stays go on.
func TestAddressChangesCutConnections(t *testing.T) {
	w := newWorld(t)
	newInet(t)
	w.network(t, "web", "10.1.0.0/24", "fd00:1::/64")
	web, a := w.container(t, "web-1", "web")
	old := []string{"10.1.0.10", "fd00:1::10"}
	change := func(addresses ...string) {
		t.Helper()
		patch := client.MergeFrom(a.DeepCopy())
		a.Spec.Addresses = addresses
		if err := w.Patch(t.Context(), a, patch); err != nil {
			t.Fatal(err)
		}
		a = await(t, w, a, fmt.Sprint("addresses ", addresses), func(a *v1alpha1.Attachment) bool {
			return ready(a) && len(a.Status.Addresses) == len(addresses) &&
				strings.HasPrefix(a.Status.Addresses[0], addresses[0]+"/") && strings.HasPrefix(a.Status.Addresses[1], addresses[1]+"/")
		})
	}
	change(old...)
	eventually(t, "an answer in both families", func() bool {
		_, err4 := web.Ask("udp", "", inet4, 7000, time.Second)
		_, err6 := web.Ask("udp", "", inet6, 7000, time.Second)
		return err4 == nil && err6 == nil
	})
	if got := tracked(t, old...); got[0] == 0 || got[1] == 0 {
		t.Fatalf("tracked connections of %s: %v", old, got)
	}
	change("10.1.0.20", old[1])
	if got := tracked(t, old...); got[0] != 0 || got[1] == 0 {
		t.Errorf("tracked connections of %s: %v, want none of the first", old, got)
	}
}

// tracked counts the connections that began at addresses.
func tracked(t *testing.T, addresses ...string) []int {
	t.Helper()
	c, err := conntrack.Dial(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	all, err := c.Dump(nil)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]int, len(addresses))
	for _, x := range all {
		for i, a := range addresses {
			if x.Zone == 0 && x.TupleOrig.IP.SourceAddress.Unmap().String() == a {
				out[i]++
			}
		}
	}
	return out
}

func natIsBack(t *testing.T) bool {
	return strings.Contains(nettest.Run(t, "nft", "list", "ruleset"), "8080")
}

// TestPortConflicts: a port is one attachment's, or a process's, and goes to
// who waits when it is free.
func TestPortConflicts(t *testing.T) {
	w := newWorld(t)
	host, _ := newInet(t)
	w.network(t, "web", "10.1.0.0/24")
	taken := host.Serve("tcp", "", 9000, "host")
	publish := func(p ...v1alpha1.PublishedPort) func(*v1alpha1.AttachmentSpec) {
		return func(s *v1alpha1.AttachmentSpec) { s.Ports = p }
	}
	message := func(o client.Object, reason string, words ...string) {
		t.Helper()
		a := await(t, w, o.(*v1alpha1.Attachment), reason, refused[*v1alpha1.Attachment](reason))
		for _, c := range a.Status.Conditions {
			for _, word := range words {
				if c.Type == v1alpha1.ConditionAccepted && !strings.Contains(c.Message, word) {
					t.Errorf("%s: %q does not say %q", a.Name, c.Message, word)
				}
			}
		}
	}
	for _, name := range []string{"first", "second", "listener", "elsewhere"} {
		nettest.New(t, name)
	}
	first := await(t, w, w.attachment(t, "first", "web", publish(v1alpha1.PublishedPort{HostPort: 80, HostPortEnd: 90, ContainerPort: 80})), "ready", ready[*v1alpha1.Attachment])
	second := w.attachment(t, "second", "web", publish(v1alpha1.PublishedPort{HostPort: 85, ContainerPort: 80, HostIP: host4}))
	message(second, v1alpha1.ReasonPortInUse, "spec.ports[0].hostPort", "85/tcp", "attachment first")
	w.delete(t, first)
	await(t, w, second, "ready", ready[*v1alpha1.Attachment])

	listener := w.attachment(t, "listener", "web", publish(v1alpha1.PublishedPort{HostPort: 9000, ContainerPort: 80}))
	message(listener, v1alpha1.ReasonPortInUse, "spec.ports[0].hostPort", "9000/tcp", fmt.Sprintf("(pid %d)", os.Getpid()))
	taken.Close()
	await(t, w, listener, "ready", ready[*v1alpha1.Attachment])

	elsewhere := w.attachment(t, "elsewhere", "web", publish(v1alpha1.PublishedPort{HostPort: 80, ContainerPort: 80, HostIP: "192.0.2.77"}))
	message(elsewhere, v1alpha1.ReasonHostIPNotFound, "spec.ports[0].hostIP", "192.0.2.77")
	host.IP("addr add 192.0.2.77/32 dev out0")
	await(t, w, elsewhere, "ready", ready[*v1alpha1.Attachment])

	// What a network does not have.
	nettest.New(t, "six")
	six := w.attachment(t, "six", "web", publish(v1alpha1.PublishedPort{HostPort: 81, ContainerPort: 80, HostIP: "::"}))
	message(six, v1alpha1.ReasonPortsNotAllowed, "spec.ports[0].hostIP", "no IPv6 subnet")
	hidden := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "hidden"}, Spec: v1alpha1.NetworkSpec{Internal: true}}
	w.create(t, hidden)
	nettest.New(t, "hid")
	hid := w.attachment(t, "hid", "hidden", publish(v1alpha1.PublishedPort{HostPort: 82, ContainerPort: 80}))
	message(hid, v1alpha1.ReasonPortsNotAllowed, "spec.ports", "internal")
	await(t, w, hidden, "ready", ready[*v1alpha1.Network])
	hidden.Spec.Internal = false
	if err := w.Update(t.Context(), hidden); err != nil {
		t.Fatal(err)
	}
	await(t, w, hid, "ready", ready[*v1alpha1.Attachment])
}
