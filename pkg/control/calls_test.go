// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sigs.k8s.io/controller-runtime/pkg/client"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// One world for all that follows: each test has networks of its own.
func TestCalls(t *testing.T) {
	w := newWorld(t)
	for name, test := range map[string]func(*testing.T, *world){
		"founding client":       foundingClient,
		"the same again":        theSameAgain,
		"other arguments":       otherArguments,
		"ports and egress":      portsAndEgress,
		"what stands against":   whatStandsAgainst,
		"invalid":               invalidRequests,
		"a deadline":            aDeadline,
		"network in use":        networkInUse,
		"64 clients":            manyClients,
		"released at once":      releasedAtOnce,
		"delete while attached": deleteWhileAttached,
		"policy":                networkPolicy,
		"families":              families,
	} {
		t.Run(name, func(t *testing.T) { test(t, w) })
	}
}

// What the first clients send, with nothing that was added since but how frames
// reach the container.
func foundingClient(t *testing.T, w *world) {
	id := strings.Repeat("0123456789abcdef", 4)
	container := strings.Repeat("fedcba9876543210", 4)
	made, err := w.CreateBridge(within(t, patience), &controlpb.CreateBridgeRequest{NetworkId: id, Subnet: "10.200.0.0/24", Gateway: "10.200.0.254"})
	if err != nil {
		t.Fatal(err)
	}
	if made.BridgeName != "arca-"+id || made.Subnet != "10.200.0.0/24" || made.Gateway != "10.200.0.254" || made.Mtu != 1500 {
		t.Errorf("CreateBridge answered %v", made)
	}
	attached := w.attach(t, &controlpb.AttachContainerRequest{
		ContainerId: container, NetworkId: id, Ip: "10.200.0.7", Mac: "02:42:AC:11:00:02", Hostname: "web",
		Interface: &controlpb.Interface{Type: "Veth", Netns: netns(t, "founding")},
	})
	if attached.SocketFd != -1 || attached.PortName == "" || attached.IpAddress != "10.200.0.7" ||
		attached.MacAddress != "02:42:ac:11:00:02" || fmt.Sprint(attached.Addresses, attached.Gateways) != "[10.200.0.7/24] [10.200.0.254]" {
		t.Errorf("AttachContainer answered %v", attached)
	}
	networks, err := w.GetContainerNetworks(within(t, patience), &controlpb.GetContainerNetworksRequest{ContainerId: container})
	if err != nil || len(networks.Networks) != 1 || networks.Networks[0].NetworkId != id || networks.Networks[0].Hostname != "web" {
		t.Errorf("GetContainerNetworks: %v, %v", networks, err)
	}
	list, err := w.ListBridges(within(t, patience), &controlpb.ListBridgesRequest{})
	found := false
	for _, b := range list.GetBridges() {
		found = found || b.NetworkId == id && fmt.Sprint(b.Containers) == "["+container+"]"
	}
	if err != nil || !found {
		t.Errorf("ListBridges: %v, %v", list, err)
	}
	for _, existed := range []bool{true, false} {
		d, err := w.DetachContainer(within(t, patience), &controlpb.DetachContainerRequest{ContainerId: container, NetworkId: id})
		if err != nil || d.Existed != existed {
			t.Errorf("DetachContainer: %v, %v, want existed %v", d, err, existed)
		}
	}
	for _, existed := range []bool{true, false} {
		d, err := w.DeleteBridge(within(t, patience), &controlpb.DeleteBridgeRequest{NetworkId: id})
		if err != nil || d.Existed != existed {
			t.Errorf("DeleteBridge: %v, %v, want existed %v", d, err, existed)
		}
	}
}

func theSameAgain(t *testing.T, w *world) {
	r := &controlpb.CreateBridgeRequest{
		NetworkId: "again", Name: "Again", Subnet: "10.201.0.0/24", IpRange: "10.201.0.128/25", Reserved: []string{"10.201.0.130"},
		Subnets: []*controlpb.Subnet{{Cidr: "fd00:201::/64"}}, Mtu: proto.Int32(1400), Internal: proto.Bool(true),
		Labels: map[string]string{"a": "b"}, Manager: "m",
	}
	var first *controlpb.CreateBridgeResponse
	for range 2 {
		res, err := w.CreateBridge(within(t, patience), r)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = res
		}
		if !proto.Equal(first, res) {
			t.Errorf("answers differ: %v, %v", first, res)
		}
	}
	// What was chosen may be asked for, and what is not asked for may be anything.
	for _, r := range []*controlpb.CreateBridgeRequest{
		{NetworkId: "again"},
		{NetworkId: "again", Subnet: "10.201.0.0/24", Gateway: "10.201.0.1", Subnets: []*controlpb.Subnet{{Cidr: "fd00:201::/64", Gateway: "fd00:201:0::1"}}},
	} {
		if res, err := w.CreateBridge(within(t, patience), r); err != nil || !proto.Equal(first, res) {
			t.Errorf("%v: %v, %v", r, res, err)
		}
	}
	attach := tap("c", "again")
	attach.Hostname, attach.LinkLocalAddresses = "c", []string{"fe80::8", "169.254.8.8"}
	attached := w.attach(t, attach)
	if attached.IpAddress != "10.201.0.128" {
		t.Errorf("address %s is not the first of the range that is free", attached.IpAddress)
	}
	again := tap("c", "again")
	again.LinkLocalAddresses = []string{"169.254.8.8", "fe80:0::8"}
	again.Ip, again.Mac = attached.IpAddress, strings.ToUpper(attached.MacAddress)
	for _, r := range []*controlpb.AttachContainerRequest{attach, again} {
		if res := w.attach(t, r); !proto.Equal(attached, res) {
			t.Errorf("answers differ: %v, %v", attached, res)
		}
	}
	cleanUp(t, w, "again", "c")
}

func cleanUp(t *testing.T, w *world, network string, containers ...string) {
	t.Helper()
	for _, c := range containers {
		if _, err := w.DetachContainer(within(t, patience), &controlpb.DetachContainerRequest{ContainerId: c, NetworkId: network}); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.DeleteBridge(within(t, patience), &controlpb.DeleteBridgeRequest{NetworkId: network}); err != nil {
		t.Error(err)
	}
}

func otherArguments(t *testing.T, w *world) {
	w.network(t, "other", "10.202.0.0/24")
	_, err := w.CreateBridge(within(t, patience), &controlpb.CreateBridgeRequest{
		NetworkId: "other", Subnet: "10.203.0.0/24", Name: "x", Mtu: proto.Int32(1400), Manager: "m"})
	wantFields(t, err, codes.AlreadyExists, "subnet", "name", "mtu", "manager")
	_, err = w.CreateBridge(within(t, patience), &controlpb.CreateBridgeRequest{NetworkId: "other", Subnet: "10.202.0.0/24", Gateway: "10.202.0.9"})
	wantFields(t, err, codes.AlreadyExists, "gateway")

	w.attach(t, tap("c", "other"))
	r := tap("c", "other")
	r.Ip, r.Mac, r.Hostname, r.Interface.Type = "10.202.0.77", "02:00:00:00:00:01", "c", "Tap"
	_, err = w.AttachContainer(within(t, patience), r)
	wantFields(t, err, codes.AlreadyExists, "ip", "mac", "hostname", "interface.type")
	r = tap("c", "other")
	r.LinkLocalAddresses = []string{"169.254.8.8"}
	_, err = w.AttachContainer(within(t, patience), r)
	wantFields(t, err, codes.AlreadyExists, "link_local_addresses")
	cleanUp(t, w, "other", "c")
}

// A subnet is chosen for each family that is asked for.
func families(t *testing.T, w *world) {
	r := &controlpb.CreateBridgeRequest{NetworkId: "families", Subnet: "10.208.0.0/24", IpFamilies: []string{"IPv6", "IPv4"}}
	res, err := w.CreateBridge(within(t, patience), r)
	if err != nil || len(res.Subnets) != 2 || res.Subnets[0].Cidr != "10.208.0.0/24" || !strings.HasPrefix(res.Subnets[1].Cidr, "fd") {
		t.Errorf("%v, %v", res, err)
	}
	// Their order means nothing.
	r.IpFamilies = []string{"IPv4", "IPv6"}
	if again, err := w.CreateBridge(within(t, patience), r); err != nil || !proto.Equal(res, again) {
		t.Errorf("%v, %v", again, err)
	}
	r.IpFamilies = []string{"IPv4"}
	_, err = w.CreateBridge(within(t, patience), r)
	wantFields(t, err, codes.AlreadyExists, "ip_families")
	for _, wrong := range [][]string{{"IPv5"}, {"IPv4", "IPv4"}} {
		_, err := w.CreateBridge(within(t, patience), &controlpb.CreateBridgeRequest{NetworkId: "wrong", IpFamilies: wrong})
		wantCode(t, err, codes.InvalidArgument)
	}
	cleanUp(t, w, "families")
}

// What is left out of a way in or out is the same as what it stands for.
func portsAndEgress(t *testing.T, w *world) {
	for _, mode := range []string{"", "NAT"} {
		r := &controlpb.CreateBridgeRequest{NetworkId: "ways", Subnet: "10.207.0.0/24"}
		if mode != "" {
			r.Egress = &controlpb.NetworkEgress{Mode: mode}
		}
		if _, err := w.CreateBridge(within(t, patience), r); err != nil {
			t.Errorf("egress mode %q: %v", mode, err)
		}
	}
	_, err := w.CreateBridge(within(t, patience), &controlpb.CreateBridgeRequest{NetworkId: "ways", Egress: &controlpb.NetworkEgress{Mode: "Routed"}})
	wantFields(t, err, codes.AlreadyExists, "egress.mode")

	r := tap("c", "ways")
	r.Ports = []*controlpb.PublishedPort{{HostPort: 8080, ContainerPort: 80}}
	w.attach(t, r)
	r.Ports[0].HostPortEnd, r.Ports[0].Protocol = 8080, "tcp"
	w.attach(t, r)
	r.Ports[0].Protocol = "udp"
	_, err = w.AttachContainer(within(t, patience), r)
	wantFields(t, err, codes.AlreadyExists, "ports[0].protocol")
	r = tap("d", "ways")
	r.Ports = []*controlpb.PublishedPort{{HostPort: 8000, HostPortEnd: 8100, ContainerPort: 80}}
	_, err = w.AttachContainer(within(t, patience), r)
	wantCode(t, err, codes.FailedPrecondition)
	if reason(err) != v1alpha1.ReasonPortInUse || !strings.Contains(err.Error(), "ports[0].host_port: ") {
		t.Errorf("a port that another container has: %v", err)
	}
	cleanUp(t, w, "ways", "c")
}

// Every refusal has its code, and leaves nothing behind.
func whatStandsAgainst(t *testing.T, w *world) {
	w.network(t, "full", "10.204.0.0/30")
	w.network(t, "taken", "10.205.0.0/24")
	w.attach(t, tap("a", "full"))
	holder := tap("holder", "taken")
	holder.Ip, holder.Mac, holder.Hostname = "10.205.0.9", "02:00:00:00:05:09", "holder"
	w.attach(t, holder)
	before := w.count(t)

	change := func(container string, f func(*controlpb.AttachContainerRequest)) *controlpb.AttachContainerRequest {
		r := tap(container, "taken")
		f(r)
		return r
	}
	for name, c := range map[string]struct {
		call   func() error
		code   codes.Code
		reason string
	}{
		"overlap": {func() error {
			_, err := w.CreateBridge(within(t, patience), &controlpb.CreateBridgeRequest{NetworkId: "overlap", Subnet: "10.205.0.0/16"})
			return err
		}, codes.FailedPrecondition, v1alpha1.ReasonSubnetOverlap},
		"name": {func() error {
			_, err := w.CreateBridge(within(t, patience), &controlpb.CreateBridgeRequest{NetworkId: "name", Name: "taken"})
			return err
		}, codes.FailedPrecondition, v1alpha1.ReasonNameConflict},
		"full": {attachError(t, w, tap("b", "full")), codes.ResourceExhausted, v1alpha1.ReasonPoolExhausted},
		"address": {attachError(t, w, change("b", func(r *controlpb.AttachContainerRequest) { r.Ip = "10.205.0.9" })),
			codes.FailedPrecondition, v1alpha1.ReasonAddressInUse},
		"mac": {attachError(t, w, change("b", func(r *controlpb.AttachContainerRequest) { r.Mac = "02:00:00:00:05:09" })),
			codes.FailedPrecondition, v1alpha1.ReasonMACInUse},
		"hostname": {attachError(t, w, change("b", func(r *controlpb.AttachContainerRequest) { r.Hostname = "holder" })),
			codes.FailedPrecondition, v1alpha1.ReasonNameConflict},
		"gateway": {attachError(t, w, change("b", func(r *controlpb.AttachContainerRequest) { r.Ip = "10.205.0.1" })),
			codes.InvalidArgument, v1alpha1.ReasonAddressNotUsable},
		"no network": {attachError(t, w, tap("b", "nowhere")), codes.NotFound, v1alpha1.ReasonNetworkNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.call()
			wantCode(t, err, c.code)
			if reason(err) != c.reason {
				t.Errorf("reason %q, want %q: %v", reason(err), c.reason, err)
			}
			if n := w.count(t); n != before {
				t.Errorf("%d objects, were %d: something was left", n, before)
			}
		})
	}
	_, err := w.AttachContainer(within(t, patience), change("b", func(r *controlpb.AttachContainerRequest) { r.Addresses = []string{"10.205.0.1"} }))
	wantFields(t, err, codes.InvalidArgument, "addresses")
	cleanUp(t, w, "full", "a")
	cleanUp(t, w, "taken", "holder")
}

func attachError(t *testing.T, w *world, r *controlpb.AttachContainerRequest) func() error {
	return func() error {
		_, err := w.AttachContainer(within(t, patience), r)
		return err
	}
}

// All that is wrong is said at once, in the request's own words.
func invalidRequests(t *testing.T, w *world) {
	before := w.count(t)
	_, err := w.CreateBridge(within(t, patience), &controlpb.CreateBridgeRequest{NetworkId: "No", Subnet: "10.0.0.1/24", Gateway: "x", Mtu: proto.Int32(1),
		Subnets: []*controlpb.Subnet{{Cidr: "fd00::/8"}}, Dns: &controlpb.NetworkDNS{Upstreams: []string{"x"}}, Egress: &controlpb.NetworkEgress{Mode: "Sideways"},
		Labels: map[string]string{"network.arca.dev/manager": "me"}, Manager: "a b"})
	wantFields(t, err, codes.InvalidArgument, "network_id", "subnet", "gateway", "mtu", "subnets[0].cidr", "dns.upstreams", "egress.mode", "labels", "manager")
	_, err = w.CreateBridge(within(t, patience), &controlpb.CreateBridgeRequest{Gateway: "10.0.0.1"})
	wantFields(t, err, codes.InvalidArgument, "network_id", "gateway")
	_, err = w.AttachContainer(within(t, patience), &controlpb.AttachContainerRequest{ContainerId: "c", NetworkId: "n", Ip: "10.0.0.1/24", Mac: "x"})
	wantFields(t, err, codes.InvalidArgument, "ip", "mac", "interface")
	_, err = w.AttachContainer(within(t, patience), &controlpb.AttachContainerRequest{ContainerId: "c", NetworkId: "n", VsockPort: 1024})
	wantFields(t, err, codes.InvalidArgument, "vsock_port")
	if !strings.Contains(err.Error(), "not supported yet") {
		t.Errorf("vsock_port: %v", err)
	}
	r := tap("c", "n")
	r.Aliases, r.Ports = []string{"-db"}, []*controlpb.PublishedPort{{HostPort: 80, ContainerPort: 70000}, {HostIp: "::1", HostPort: 81, ContainerPort: 81}}
	_, err = w.AttachContainer(within(t, patience), r)
	wantFields(t, err, codes.InvalidArgument, "aliases", "ports[0].container_port", "ports[1].host_ip")
	r = tap("c", "n")
	r.Ports = []*controlpb.PublishedPort{{ContainerPort: 80}, {HostPort: 65536, ContainerPort: 80}, {HostPort: 90, HostPortEnd: 80, ContainerPort: 80},
		{HostPort: 70, HostPortEnd: 65536, ContainerPort: 1, Protocol: "udp"}, {HostPort: 60, ContainerPort: 80, Protocol: "icmp"}}
	_, err = w.AttachContainer(within(t, patience), r)
	wantFields(t, err, codes.InvalidArgument, "ports[0].host_port", "ports[1].host_port", "ports[2].host_port_end", "ports[3].host_port_end", "ports[4].protocol")
	_, err = w.AttachContainer(within(t, patience), &controlpb.AttachContainerRequest{ContainerId: "c", NetworkId: "n", Interface: &controlpb.Interface{Type: "Veth"}})
	wantFields(t, err, codes.InvalidArgument, "interface.netns")
	_, err = w.AttachContainer(within(t, patience), tap(strings.Repeat("a", 200), strings.Repeat("b", 200)))
	wantFields(t, err, codes.InvalidArgument, "container_id")
	_, err = w.DeleteBridge(within(t, patience), &controlpb.DeleteBridgeRequest{NetworkId: "a/b"})
	wantFields(t, err, codes.InvalidArgument, "network_id")
	if n := w.count(t); n != before {
		t.Errorf("%d objects, were %d", n, before)
	}
}

// A deadline that passes keeps the object, and says what is missing.
func aDeadline(t *testing.T, w *world) {
	w.network(t, "late", "10.206.0.0/24")
	r := &controlpb.AttachContainerRequest{ContainerId: "c", NetworkId: "late", Interface: &controlpb.Interface{Type: "Veth", Netns: "/run/netns/late"}}
	_, err := w.AttachContainer(within(t, 2*time.Second), r)
	wantCode(t, err, codes.DeadlineExceeded)
	if !strings.Contains(err.Error(), "kept") || !strings.Contains(err.Error(), "/run/netns/late") || reason(err) != v1alpha1.ReasonNetnsNotFound {
		t.Errorf("it does not say that it is kept and what is missing: %v", err)
	}
	netns(t, "late")
	w.attach(t, r)
	cleanUp(t, w, "late", "c")
}

func networkInUse(t *testing.T, w *world) {
	w.network(t, "used", "10.207.0.0/24")
	w.attach(t, tap("c1", "used"))
	w.attach(t, tap("c2", "used"))
	_, err := w.DeleteBridge(within(t, patience), &controlpb.DeleteBridgeRequest{NetworkId: "used"})
	wantCode(t, err, codes.FailedPrecondition)
	if !strings.Contains(err.Error(), "c1") || !strings.Contains(err.Error(), "c2") {
		t.Errorf("it does not name the containers: %v", err)
	}
	n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "used"}}
	if err := w.api.Get(within(t, patience), client.ObjectKeyFromObject(n), n); err != nil || !n.DeletionTimestamp.IsZero() {
		t.Errorf("the network is being deleted: %v", err)
	}
	cleanUp(t, w, "used", "c1", "c2")
}

// 64 clients at once: nobody shares an address, whether they choose one or not;
// one of those that want the same gets it.
func manyClients(t *testing.T, w *world) {
	w.network(t, "many", "10.208.0.0/24")
	const clients = 64
	var wg sync.WaitGroup
	var mu sync.Mutex
	addresses, codesOf := map[string]string{}, map[codes.Code]int{}
	for i := range clients {
		wg.Go(func() {
			id := fmt.Sprint("auto-", i)
			res, err := w.AttachContainer(within(t, patience), tap(id, "many"))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			} else if other, taken := addresses[res.IpAddress]; taken {
				t.Errorf("%s and %s have %s", id, other, res.IpAddress)
			} else {
				addresses[res.IpAddress] = id
			}
		})
		wg.Go(func() {
			r := tap(fmt.Sprint("static-", i), "many")
			r.Ip = "10.208.0.250"
			_, err := w.AttachContainer(within(t, patience), r)
			mu.Lock()
			defer mu.Unlock()
			codesOf[status.Code(err)]++
		})
		wg.Go(func() { // idempotent calls beside each other
			if _, err := w.CreateBridge(within(t, patience), &controlpb.CreateBridgeRequest{NetworkId: "many2", Subnet: "10.209.0.0/24"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if codesOf[codes.OK] != 1 || codesOf[codes.FailedPrecondition] != clients-1 {
		t.Errorf("one address for %d: %v", clients, codesOf)
	}
	var list v1alpha1.AttachmentList
	if err := w.api.List(within(t, patience), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != clients+1 {
		t.Errorf("%d attachments are there, want %d", len(list.Items), clients+1)
	}
	for _, a := range list.Items {
		wg.Go(func() { cleanUpAttachment(t, w, a.Spec.Container.ID, "many") })
	}
	wg.Wait()
	cleanUp(t, w, "many")
	cleanUp(t, w, "many2")
}

func cleanUpAttachment(t *testing.T, w *world, container, network string) {
	if _, err := w.DetachContainer(within(t, patience), &controlpb.DetachContainerRequest{ContainerId: container, NetworkId: network}); err != nil {
		t.Error(err)
	}
}

// What was released can be had at once, by somebody else: address, hostname,
// the only free address, subnet.
func releasedAtOnce(t *testing.T, w *world) {
	for round := range 10 {
		id, subnet := fmt.Sprint("released-", round), "10.210.0.0/30"
		w.network(t, id, subnet)
		for i := range 4 {
			r := tap(fmt.Sprint("c-", i), id)
			r.Hostname = "same"
			if i%2 == 0 {
				r.Ip = "10.210.0.2"
			}
			w.attach(t, r)
			cleanUpAttachment(t, w, r.ContainerId, id)
		}
		cleanUp(t, w, id)
	}
}

// A network is never deleted under a container that was attached with success.
func deleteWhileAttached(t *testing.T, w *world) {
	for round := range 10 {
		w.network(t, "contested", "10.211.0.0/24")
		var wg sync.WaitGroup
		var attached, deleted error
		wg.Go(func() { _, attached = w.AttachContainer(within(t, patience), tap("c", "contested")) })
		wg.Go(func() {
			_, deleted = w.DeleteBridge(within(t, patience), &controlpb.DeleteBridgeRequest{NetworkId: "contested"})
		})
		wg.Wait()
		switch {
		case attached == nil && status.Code(deleted) == codes.FailedPrecondition:
		case deleted == nil && (status.Code(attached) == codes.NotFound || status.Code(attached) == codes.FailedPrecondition):
		case status.Code(deleted) == codes.FailedPrecondition && status.Code(attached) == codes.FailedPrecondition:
			// Each saw the other first. The container is not attached, and the network goes.
		default:
			t.Errorf("round %d: attach: %v; delete: %v", round, attached, deleted)
		}
		cleanUp(t, w, "contested", "c")
	}
}

func networkPolicy(t *testing.T, w *world) {
	w.network(t, "guarded", "10.212.0.0/24")
	w.network(t, "peer", "10.213.0.0/24")
	set := func(rules ...*controlpb.NetworkPolicyRule) error {
		res, err := w.SetNetworkPolicy(within(t, patience), &controlpb.SetNetworkPolicyRequest{NetworkId: "guarded", Rules: rules})
		if err == nil && int(res.Rules) != len(rules) {
			t.Errorf("%d rules are in force, of %d", res.Rules, len(rules))
		}
		return err
	}
	policy := func() *v1alpha1.Policy {
		p := &v1alpha1.Policy{ObjectMeta: metav1.ObjectMeta{Name: "guarded"}}
		if err := w.api.Get(within(t, patience), client.ObjectKeyFromObject(p), p); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		return p
	}
	allow := &controlpb.NetworkPolicyRule{Action: "allow", Protocol: "tcp", SourceNetwork: "peer", DestinationNetwork: "guarded", Port: 80, Priority: 10}
	deny := &controlpb.NetworkPolicyRule{Action: "deny"}
	for range 2 {
		if err := set(deny, allow); err != nil {
			t.Fatal(err)
		}
	}
	p := policy()
	if p.Generation != 1 || len(p.Spec.Ingress) != 2 || p.Spec.Ingress[0].Action != v1alpha1.PolicyAllow {
		t.Errorf("generation %d, %+v", p.Generation, p.Spec)
	}
	if err := set(deny); err != nil {
		t.Fatal(err)
	}
	if p := policy(); p.Generation != 2 || len(p.Spec.Ingress) != 1 {
		t.Errorf("all rules are replaced by one write: generation %d, %+v", p.Generation, p.Spec)
	}
	before := policy().Spec

	wantFields(t, set(&controlpb.NetworkPolicyRule{Action: "allow", SourceNetwork: "10.0.0.0/33"}, &controlpb.NetworkPolicyRule{Action: "allow", Port: 80}),
		codes.InvalidArgument, "rules[0].source_network", "rules[1].ports")
	tcp := func(ports ...*controlpb.PortRange) *controlpb.NetworkPolicyRule {
		return &controlpb.NetworkPolicyRule{Action: "allow", Protocol: "tcp", Ports: ports}
	}
	wantFields(t, set(tcp(&controlpb.PortRange{Port: 0}), tcp(&controlpb.PortRange{Port: 65536}), tcp(&controlpb.PortRange{Port: 90, PortEnd: 80}),
		&controlpb.NetworkPolicyRule{Action: "allow", Protocol: "icmp", Port: 80},
		&controlpb.NetworkPolicyRule{Action: "allow", Protocol: "tcp", Port: 90, PortEnd: 80}),
		codes.InvalidArgument, "rules[0].ports[0].port", "rules[1].ports[0].port", "rules[2].ports[0].end_port", "rules[3].ports", "rules[4].port_end")
	// What only the other objects tell: the rules before are in force again.
	err := set(deny, &controlpb.NetworkPolicyRule{Action: "allow", SourceNetwork: "fd00::/64"})
	wantCode(t, err, codes.InvalidArgument)
	if reason(err) != v1alpha1.ReasonFamilyMismatch {
		t.Errorf("reason %q: %v", reason(err), err)
	}
	if now := policy().Spec; fmt.Sprintf("%+v", now) != fmt.Sprintf("%+v", before) {
		t.Errorf("after a refusal the rules are %+v, were %+v", now, before)
	}
	if err := set(deny); err != nil { // and come true as before
		t.Error(err)
	}
	_, err = w.SetNetworkPolicy(within(t, patience), &controlpb.SetNetworkPolicyRequest{NetworkId: "nowhere", Rules: []*controlpb.NetworkPolicyRule{deny}})
	wantCode(t, err, codes.NotFound)

	for range 2 {
		if err := set(); err != nil {
			t.Error(err)
		}
	}
	if p := policy(); p.UID != "" {
		t.Error("no rules, and the policy is there")
	}
	// One that was refused at once leaves none.
	wantCode(t, set(&controlpb.NetworkPolicyRule{Action: "allow", SourceNetwork: "fd00::/64"}), codes.InvalidArgument)
	if p := policy(); p.UID != "" {
		t.Error("a policy that was refused is left")
	}
	// A policy of somebody else's with that name is not ours to replace or delete.
	other := &v1alpha1.Policy{ObjectMeta: metav1.ObjectMeta{Name: "guarded"}, Spec: v1alpha1.PolicySpec{Network: "guarded"}}
	if err := w.api.Create(within(t, patience), other); err != nil {
		t.Fatal(err)
	}
	wantCode(t, set(deny), codes.FailedPrecondition)
	if err := w.api.Delete(within(t, patience), other); err != nil {
		t.Fatal(err)
	}
	// Rules go with their network.
	if err := set(deny); err != nil {
		t.Fatal(err)
	}
	cleanUp(t, w, "guarded")
	cleanUp(t, w, "peer")
	if p := policy(); p.UID != "" {
		t.Error("the network is gone and its rules are there")
	}
}
