// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/vas-solutus/arca-network/config/crd"
	"github.com/vas-solutus/arca-network/pkg/store/storetest"
)

// newClient writes to a real API server that knows nothing but the CRDs.
func newClient(t *testing.T) client.Client {
	t.Helper()
	crds, err := crd.All()
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(storetest.Start(t, crds...), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return client.WithFieldValidation(c, "Strict")
}

func object(t *testing.T, doc string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
		t.Fatalf("%v in:\n%s", err, doc)
	}
	return o
}

func spec(t *testing.T, kind, spec string) *unstructured.Unstructured {
	t.Helper()
	return object(t, "{apiVersion: network.arca.dev/v1alpha1, kind: "+kind+", metadata: {generateName: x-}, spec: "+spec+"}")
}

// TestAccepted: what is allowed, at its edges.
func TestAccepted(t *testing.T) {
	c := newClient(t)
	const veth = "interface: {type: Veth, netns: /run/netns/x}"
	for _, o := range []struct{ kind, spec string }{
		{"Network", "{}"},
		{"Network", "{subnets: [{cidr: 10.88.0.0/24}]}"},
		{"Network", "{subnets: [{cidr: 10.0.0.0/8}, {cidr: 'fd00:88::/64', gateway: 'fd00:88::ffff'}]}"},
		{"Network", "{subnets: [{cidr: 'fd00::/126'}]}"},
		{"Network", "{subnets: [{cidr: 10.0.0.4/30, gateway: 10.0.0.6, allocationRange: 10.0.0.4/31, reserved: [10.0.0.5]}]}"},
		{"Network", "{internal: true, interContainer: true, mtu: 9000, dnsName: My_Net.1}"},
		{"Network", "{subnets: [{cidr: 10.0.0.0/24}], mtu: 576}"},
		{"Network", "{ipFamilies: [IPv6]}"},
		{"Network", "{ipFamilies: [IPv6, IPv4], mtu: 1280}"},
		{"Network", "{ipFamilies: [IPv4, IPv6], subnets: [{cidr: 10.88.0.0/24}]}"},
		{"Network", "{mtu: 65521}"},
		{"Network", "{egress: {}}"},
		{"Network", "{egress: {mode: NAT}}"},
		{"Network", "{egress: {mode: Routed}, internal: false}"},
		{"Network", "{egress: {mode: None}, internal: true}"},
		{"Network", "{egress: {}, internal: true}"},
		{"Network", "{dns: {enabled: false}}"},
		{"Network", "{dhcp: {enabled: true, leaseSeconds: 60}}"},
		{"Network", "{dns: {upstreams: [192.0.2.53, '2001:db8::53'], search: [corp.example.com, _x]}}"},
		{"Network", "{internal: true, dns: {search: [lan]}}"},
		{"Attachment", "{network: web, container: {aliases: [db, my_host.example.com, _x]}, " + veth + "}"},
		{"Attachment", "{network: web, " + veth + "}"},
		{"Attachment", "{network: web, " + veth + ", ports: [{hostPort: 1, hostPortEnd: 65535, containerPort: 1}, {hostPort: 1, containerPort: 1, protocol: udp}]}"},
		{"Attachment", "{network: web, " + veth + ", ports: [{hostPort: 80, containerPort: 80, hostIP: 192.0.2.1}, {hostPort: 80, containerPort: 81, hostIP: 192.0.2.2}]}"},
		{"Attachment", "{network: web, " + veth + ", ports: [{hostPort: 80, containerPort: 80, hostIP: '::', protocol: sctp}, {hostPort: 81, containerPort: 81, hostIP: 127.0.0.1}]}"},
		{"Attachment", "{network: web, " + veth + ", mac: '02:AB:cd:00:00:01', addresses: [10.0.0.5, 'fd00::5']}"},
		{"Attachment", "{network: web, " + veth + ", linkLocalAddresses: [169.254.0.1, 169.254.255.254, 'fe80::8', 'febf::1']}"},
		{"Attachment", "{network: web, " + veth + ", linkLocalAddresses: [169.254.1.1, 169.254.1.2, 169.254.1.3, 169.254.1.4, 169.254.1.5, 169.254.1.6, 169.254.1.7, 169.254.1.8]}"},
		{"Attachment", "{network: web, " + veth + ", routePriority: -1000}"},
		{"Attachment", "{network: web, " + veth + ", bandwidth: {}}"},
		{"Attachment", "{network: web, " + veth + ", bandwidth: {ingress: {rate: 1000, burst: 0}, egress: {rate: 4294967295000, burst: 1000000}}}"},
		{"Attachment", "{network: web, container: {id: abc, name: web_1.x}, interface: {type: Tap}}"},
		{"Attachment", "{network: web, interface: {type: Internal, name: fifteen-bytes-x}}"},
		{"Attachment", "{network: web, interface: {type: External, name: eth7}}"},
		{"Network", "{interContainer: false}"},
		{"Policy", "{network: web}"},
		{"Policy", "{selector: {}, priority: 1000}"},
		{"Policy", "{network: web, priority: 0, ingress: [{action: Deny, protocol: sctp, ports: [{port: 1, endPort: 65535}, {port: 7, endPort: 7}]}]}"},
		{"Policy", "{selector: {matchLabels: {a: b}}, egress: [{action: Reject, log: true, peers: [{network: other}, {internet: true}, {selector: {}}, {cidr: '::/0', except: ['fd00::/8']}]}]}"},
	} {
		if err := c.Create(t.Context(), spec(t, o.kind, o.spec)); err != nil {
			t.Errorf("%s %s: %v", o.kind, o.spec, err)
		}
	}
}

// TestRefused: each mistake is refused, naming the field and what is allowed.
func TestRefused(t *testing.T) {
	c := newClient(t)
	network := func(s string) string { return "{subnets: [{" + s + "}]}" }
	attachment := func(s string) string {
		return "{network: web, interface: {type: Veth, netns: /run/netns/x}, " + s + "}"
	}
	rule := func(s string) string { return "{network: web, ingress: [{" + s + "}]}" }
	peer := func(s string) string { return rule("action: Allow, peers: [" + s + "]") }
	for _, o := range []struct{ kind, spec, field, says string }{
		{"Network", "{nope: 1}", "spec.nope", "unknown field"},
		{"Network", "{mtu: big}", "spec.mtu", "must be of type integer"},
		{"Network", "{mtu: 65522}", "spec.mtu", "should be less than or equal to 65521"}, // a tap's largest
		{"Network", "{mtu: 100}", "spec.mtu", "should be greater than or equal to 576"},
		{"Network", "{mtu: 1000, subnets: [{cidr: 'fd00::/64'}]}", "spec.mtu", "at least 1280"},
		{"Network", "{dnsName: '-x'}", "spec.dnsName", "must consist of letters"},
		{"Network", "{dnsName: a..b}", "spec.dnsName", "single '.'"},
		{"Network", network("cidr: 10.88.0.5/24"), "spec.subnets[0].cidr", "no host bits"},
		{"Network", network("cidr: 10.88.0.0"), "spec.subnets[0].cidr", "CIDR form"},
		{"Network", network("cidr: 10.88.0.0/31"), "spec.subnets[0].cidr", "8 to 30"},
		{"Network", network("cidr: 127.0.0.0/8"), "spec.subnets[0].cidr", "not loopback"},
		{"Network", network("cidr: 169.254.0.0/16"), "spec.subnets[0].cidr", "link-local"},
		{"Network", network("cidr: 169.0.0.0/8"), "spec.subnets[0].cidr", "link-local"},
		{"Network", network("cidr: 239.1.0.0/16"), "spec.subnets[0].cidr", "multicast"},
		{"Network", network("cidr: 'ff05::/64'"), "spec.subnets[0].cidr", "multicast"},
		{"Network", network("cidr: 240.0.0.0/8"), "spec.subnets[0].cidr", "240.0.0.0/4"},
		{"Network", network("cidr: 0.1.0.0/16"), "spec.subnets[0].cidr", "0.0.0.0/8"},
		{"Network", network("cidr: 10.88.0.0/24, gateway: 10.89.0.1"), "spec.subnets[0].gateway", "inside cidr"},
		{"Network", network("cidr: 10.88.0.0/24, gateway: 10.88.0.0"), "spec.subnets[0].gateway", "network address"},
		{"Network", network("cidr: 10.88.0.0/24, gateway: nope"), "spec.subnets[0].gateway", "IP address"},
		{"Network", network("cidr: 10.88.0.0/24, allocationRange: 10.89.0.0/25"), "spec.subnets[0].allocationRange", "inside cidr"},
		{"Network", network("cidr: 10.88.0.0/24, allocationRange: 10.88.0.1/25"), "spec.subnets[0].allocationRange", "no host bits"},
		{"Network", network("cidr: 10.88.0.0/24, reserved: [10.1.0.1]"), "spec.subnets[0].reserved", "inside cidr"},
		{"Network", "{subnets: [{cidr: 10.1.0.0/24}, {cidr: 10.2.0.0/24}]}", "spec.subnets", "one IPv4 and one IPv6"},
		{"Network", "{ipFamilies: []}", "spec.ipFamilies", "at least 1"},
		{"Network", "{ipFamilies: [IPv5]}", "spec.ipFamilies[0]", "supported values"},
		{"Network", "{ipFamilies: [IPv6, IPv6]}", "spec.ipFamilies[1]", "Duplicate"},
		{"Network", "{ipFamilies: [IPv6], subnets: [{cidr: 10.88.0.0/24}]}", "spec.subnets", "leaves out"},
		{"Network", "{ipFamilies: [IPv4, IPv6], mtu: 1279}", "spec.mtu", "at least 1280"},
		{"Network", "{egress: {mode: Bridged}}", "spec.egress.mode", "supported values"},
		{"Network", "{internal: true, egress: {mode: NAT}}", "spec.egress.mode", "no way out"},
		{"Network", "{internal: true, egress: {mode: Routed}}", "spec.egress.mode", "no way out"},
		{"Network", "{dns: {upstreams: [192.0.2.53:53]}}", "spec.dns.upstreams", "IP addresses of name servers"},
		{"Network", "{dns: {upstreams: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4, 1.1.1.5, 1.1.1.6, 1.1.1.7, 1.1.1.8, 1.1.1.9]}}", "spec.dns.upstreams", "at most 8"},
		{"Network", "{internal: true, dns: {upstreams: [192.0.2.53]}}", "spec.dns.upstreams", "asks nobody outside"},
		{"Network", "{dns: {search: [-x.example.com]}}", "spec.dns.search", "domain names"},
		{"Network", "{dns: {search: [example.com.]}}", "spec.dns.search", "without a dot at the end"},
		{"Network", "{dns: {enabled: maybe}}", "spec.dns.enabled", "must be of type boolean"},
		{"Network", "{dhcp: {enabled: true, leaseSeconds: 59}}", "spec.dhcp.leaseSeconds", "greater than or equal to 60"},
		{"Attachment", "{interface: {type: Tap}}", "spec.network", "Required"},
		{"Attachment", "{network: web}", "spec.interface", "Required"},
		{"Attachment", "{network: web, interface: {type: Bond}}", "spec.interface.type", "supported values"},
		{"Attachment", "{network: web, interface: {type: Relay}}", "spec.interface.type", "not supported yet"},
		{"Attachment", "{network: web, interface: {type: Veth}}", "spec.interface.netns", "required for type Veth"},
		{"Attachment", "{network: web, interface: {type: Tap, netns: /run/netns/x}}", "spec.interface.netns", "not allowed for others"},
		{"Attachment", "{network: web, interface: {type: Veth, netns: run/x}}", "spec.interface.netns", "absolute path"},
		{"Attachment", "{network: web, interface: {type: External}}", "spec.interface.name", "required for type External"},
		{"Attachment", "{network: web, interface: {type: Tap, name: sixteen-bytes-xx}}", "spec.interface.name", "may not be more than 15"},
		{"Attachment", "{network: web, interface: {type: Tap, name: a/b}}", "spec.interface.name", "interface name"},
		{"Attachment", attachment("mac: '01:00:5e:00:00:01'"), "spec.mac", "multicast"},
		{"Attachment", attachment("mac: '00:00:00:00:00:00'"), "spec.mac", "all zeros"},
		{"Attachment", attachment("mac: '02:00'"), "spec.mac", "six hexadecimal bytes"},
		{"Attachment", attachment("addresses: [10.0.0.5/24]"), "spec.addresses", "without a prefix length"},
		{"Attachment", attachment("linkLocalAddresses: [169.254.8.8/16]"), "spec.linkLocalAddresses", "without a prefix length"},
		{"Attachment", attachment("linkLocalAddresses: ['fe80::8%eth0']"), "spec.linkLocalAddresses", "without a prefix length"},
		{"Attachment", attachment("linkLocalAddresses: [169.254.8.8, 10.0.0.5]"), "spec.linkLocalAddresses", "of 169.254.0.0/16 or fe80::/10"},
		{"Attachment", attachment("linkLocalAddresses: ['fd00::8']"), "spec.linkLocalAddresses", "of 169.254.0.0/16 or fe80::/10"},
		{"Attachment", attachment("linkLocalAddresses: ['ff02::1']"), "spec.linkLocalAddresses", "of 169.254.0.0/16 or fe80::/10"},
		{"Attachment", attachment("linkLocalAddresses: [169.254.255.255]"), "spec.linkLocalAddresses", "network and broadcast address"},
		{"Attachment", attachment("linkLocalAddresses: [169.254.0.0]"), "spec.linkLocalAddresses", "network and broadcast address"},
		{"Attachment", attachment("linkLocalAddresses: ['fe80::8', 'fe80:0::8']"), "spec.linkLocalAddresses", "an address twice"},
		{"Attachment", attachment("linkLocalAddresses: [a, a, a, a, a, a, a, a, a]"), "spec.linkLocalAddresses", "at most 8"},
		{"Attachment", attachment("addresses: [10.0.0.5, 10.0.0.6]"), "spec.addresses", "one IPv4 and one IPv6"},
		{"Attachment", attachment("container: {name: '-x'}"), "spec.container.name", "must consist of letters"},
		{"Attachment", attachment("ports: [{containerPort: 80}]"), "spec.ports[0].hostPort", "Required"},
		{"Attachment", attachment("ports: [{hostPort: 0, containerPort: 80}]"), "spec.ports[0].hostPort", "greater than or equal to 1"},
		{"Attachment", attachment("ports: [{hostPort: 65536, containerPort: 80}]"), "spec.ports[0].hostPort", "less than or equal to 65535"},
		{"Attachment", attachment("ports: [{hostPort: 80, containerPort: 0}]"), "spec.ports[0].containerPort", "greater than or equal to 1"},
		{"Attachment", attachment("ports: [{hostPort: 80, containerPort: 70000}]"), "spec.ports[0].containerPort", "less than or equal to 65535"},
		{"Attachment", attachment("ports: [{hostPort: 80, hostPortEnd: 79, containerPort: 80}]"), "spec.ports[0].hostPortEnd", "less than hostPort"},
		{"Attachment", attachment("ports: [{hostPort: 80, hostPortEnd: 0, containerPort: 80}]"), "spec.ports[0].hostPortEnd", "greater than or equal to 1"},
		{"Attachment", attachment("ports: [{hostPort: 80, hostPortEnd: 65536, containerPort: 80}]"), "spec.ports[0].hostPortEnd", "less than or equal to 65535"},
		{"Attachment", attachment("ports: [{hostPort: 80, hostPortEnd: 90, containerPort: 65530}]"), "spec.ports[0].containerPort", "beyond port 65535"},
		{"Attachment", attachment("ports: [{hostPort: 80, containerPort: 80, protocol: icmp}]"), "spec.ports[0].protocol", "supported values"},
		{"Attachment", attachment("ports: [{hostPort: 80, containerPort: 80, hostIP: eth0}]"), "spec.ports[0].hostIP", "must be an IP address"},
		{"Attachment", attachment("ports: [{hostPort: 80, containerPort: 80, hostIP: '::1'}]"), "spec.ports[0].hostIP", "::1"},
		{"Attachment", attachment("ports: [{hostPort: 80, containerPort: 80, hostIP: 224.0.0.1}]"), "spec.ports[0].hostIP", "multicast"},
		{"Attachment", attachment("ports: [{hostPort: 80, containerPort: 80}, {hostPort: 80, containerPort: 81}]"), "spec.ports", "named twice"},
		{"Attachment", attachment("ports: [{hostPort: 80, hostPortEnd: 90, containerPort: 80}, {hostPort: 85, containerPort: 81, hostIP: 192.0.2.1, protocol: tcp}]"), "spec.ports", "named twice"},
		{"Attachment", attachment("container: {aliases: ['a b']}"), "spec.container.aliases", "must hold names"},
		{"Attachment", attachment("container: {aliases: [a..b]}"), "spec.container.aliases", "must hold names"},
		{"Attachment", attachment("container: {aliases: [x, x]}"), "spec.container.aliases", "uplicate"},
		{"Attachment", attachment("routePriority: 1001"), "spec.routePriority", "less than or equal to 1000"},
		{"Attachment", attachment("routePriority: -1001"), "spec.routePriority", "greater than or equal to -1000"},
		{"Attachment", "{network: web, interface: {type: Tap}, routePriority: 0}", "spec.routePriority", "only for type Veth"},
		{"Attachment", attachment("bandwidth: {ingress: {}}"), "spec.bandwidth.ingress.rate", "Required"},
		{"Attachment", attachment("bandwidth: {egress: {rate: 999}}"), "spec.bandwidth.egress.rate", "greater than or equal to 1000"},
		{"Attachment", attachment("bandwidth: {egress: {rate: 4294967295001}}"), "spec.bandwidth.egress.rate", "less than or equal to 4294967295000"},
		{"Attachment", attachment("bandwidth: {ingress: {rate: 1000000, burst: 999999}}"), "spec.bandwidth.ingress.burst", "at least 1000000"},
		{"Attachment", attachment("bandwidth: {ingress: {rate: 1000000, burst: -1}}"), "spec.bandwidth.ingress.burst", "greater than or equal to 0"},
		{"Policy", "{}", "spec", "exactly one of network and selector"},
		{"Policy", "{network: web, selector: {}}", "spec", "exactly one of network and selector"},
		{"Policy", "{network: web, priority: 1001}", "spec.priority", "less than or equal to 1000"},
		{"Policy", rule("action: Drop"), "spec.ingress[0].action", "supported values"},
		{"Policy", rule("protocol: tcp"), "spec.ingress[0].action", "Required"},
		{"Policy", rule("action: Deny, protocol: gre"), "spec.ingress[0].protocol", "supported values"},
		{"Policy", rule("action: Deny, protocol: tcp, ports: [{port: 0}]"), "spec.ingress[0].ports[0].port", "greater than or equal to 1"},
		{"Policy", rule("action: Deny, protocol: tcp, ports: [{port: 65536}]"), "spec.ingress[0].ports[0].port", "less than or equal to 65535"},
		{"Policy", rule("action: Deny, protocol: tcp, ports: [{port: 90, endPort: 80}]"), "spec.ingress[0].ports[0].endPort", "must not be less than port"},
		{"Policy", rule("action: Deny, protocol: tcp, ports: [{port: 80, endPort: 0}]"), "spec.ingress[0].ports[0].endPort", "greater than or equal to 1"},
		{"Policy", rule("action: Deny, protocol: tcp, ports: [{port: 80, endPort: 65536}]"), "spec.ingress[0].ports[0].endPort", "less than or equal to 65535"},
		{"Policy", "{network: web, egress: [{action: Deny}, {action: Allow, protocol: udp, ports: [{port: 53}, {port: 0}]}]}", "spec.egress[1].ports[1].port", "greater than or equal to 1"},
		{"Policy", rule("action: Deny, protocol: any, ports: [{port: 80}]"), "spec.ingress[0].ports", "need protocol tcp, udp or sctp"},
		{"Policy", rule("action: Deny, protocol: icmp, ports: [{port: 80}]"), "spec.ingress[0].ports", "need protocol tcp, udp or sctp"},
		{"Policy", rule("action: Deny, ports: [{port: 80}]"), "spec.ingress[0].ports", "need protocol tcp, udp or sctp"},
		{"Policy", peer("{}"), "spec.ingress[0].peers[0]", "exactly one of network, cidr, selector and internet"},
		{"Policy", peer("{network: a, internet: true}"), "spec.ingress[0].peers[0]", "exactly one of network, cidr, selector and internet"},
		{"Policy", peer("{cidr: 10.0.0.0/33}"), "spec.ingress[0].peers[0].cidr", "CIDR form"},
		{"Policy", peer("{cidr: 10.0.0.0}"), "spec.ingress[0].peers[0].cidr", "CIDR form"},
		{"Policy", peer("{cidr: 10.0.0/24}"), "spec.ingress[0].peers[0].cidr", "CIDR form"},
		{"Policy", peer("{cidr: 'fd00::/129'}"), "spec.ingress[0].peers[0].cidr", "CIDR form"},
		{"Policy", peer("{cidr: 10.0.0.1/24}"), "spec.ingress[0].peers[0].cidr", "no host bits"},
		{"Policy", peer("{network: a, except: [10.0.0.0/24]}"), "spec.ingress[0].peers[0].except", "only for a peer with cidr"},
		{"Policy", peer("{cidr: 10.0.0.0/24, except: [10.1.0.0/25]}"), "spec.ingress[0].peers[0].except", "inside cidr"},
		{"Policy", peer("{cidr: 10.0.0.0/24, except: [nope]}"), "spec.ingress[0].peers[0].except", "CIDR form"},
	} {
		err := c.Create(t.Context(), spec(t, o.kind, o.spec))
		if err == nil {
			t.Errorf("%s %s was accepted", o.kind, o.spec)
			continue
		}
		if !strings.Contains(err.Error(), o.field) || !strings.Contains(err.Error(), o.says) {
			t.Errorf("%s %s: %v\nwant it to name %s and to say %q", o.kind, o.spec, err, o.field, o.says)
		}
	}
}

// TestImmutable: what cannot change says so.
func TestImmutable(t *testing.T) {
	c := newClient(t)
	for field, change := range map[string]func(map[string]any){
		"spec.network":        func(s map[string]any) { s["network"] = "other" },
		"spec.node":           func(s map[string]any) { s["node"] = "other" },
		"spec.interface.type": func(s map[string]any) { s["interface"] = map[string]any{"type": "Tap"} },
	} {
		o := spec(t, "Attachment", "{network: web, interface: {type: Veth, netns: /run/netns/x}}")
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		change(o.Object["spec"].(map[string]any))
		if err := c.Update(t.Context(), o); err == nil || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), "immutable") {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

// TestEmptyNode: an empty node is none. Go clients leave it out when they write the
// object again, as for a finalizer that goes.
func TestEmptyNode(t *testing.T) {
	c := newClient(t)
	o := spec(t, "Attachment", "{network: web, node: '', interface: {type: Veth, netns: /run/netns/x}}")
	if err := c.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	delete(o.Object["spec"].(map[string]any), "node")
	if err := c.Update(t.Context(), o); err != nil {
		t.Error(err)
	}
}

// TestSamples: the samples are accepted as they are.
func TestSamples(t *testing.T) {
	c := newClient(t)
	files, err := filepath.Glob("../../config/samples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range strings.Split(string(raw), "\n---\n") {
			if err := c.Create(t.Context(), object(t, doc)); err != nil {
				t.Errorf("%s: %v", f, err)
			}
		}
	}
}
