// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// dropAll is a policy that lets nothing pass.
const dropAll = `{priority: 900, network: %s, ingress: [{action: Deny}], egress: [{action: Deny}]}`

// transports of queries.
var transports = []string{"udp", "tcp"}

// TestServicesPassPolicies: what keeps containers from each other and from all
// else leaves them DNS and DHCP, unless a rule names them.
func TestServicesPassPolicies(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b"} {
		netns(t, name)
	}
	apart := false
	n := &v1alpha1.Network{}
	n.Name = "web"
	n.Spec.Subnets = []v1alpha1.Subnet{{CIDR: "10.1.0.0/24"}, {CIDR: "fd00:1::/64"}}
	n.Spec.DHCP = &v1alpha1.NetworkDHCP{Enabled: true}
	w.create(t, n)
	at := func(address4, address6 string) func(*v1alpha1.AttachmentSpec) {
		return func(s *v1alpha1.AttachmentSpec) { s.Addresses = []string{address4, address6} }
	}
	a := await(t, w, w.attachment(t, "a", "web", at("10.1.0.10", "fd00:1::10")), "ready", ready[*v1alpha1.Attachment])
	await(t, w, w.attachment(t, "b", "web", func(s *v1alpha1.AttachmentSpec) {
		at("10.1.0.11", "fd00:1::11")(s)
		s.Container.Name = "other"
	}), "ready", ready[*v1alpha1.Attachment])
	vm := newGuest(t, w, "vm", "web", "02:00:00:00:00:78", "10.1.0.78", "fd00:1::78")

	// reaches tells whether a is answered by b, if only by a refusal.
	reaches := func(address string) bool {
		err := within(t, "a", func() error {
			c, err := net.DialTimeout("tcp", net.JoinHostPort(address, "9"), 300*time.Millisecond)
			if err == nil {
				_ = c.Close()
			}
			return err
		})
		return err == nil || strings.Contains(err.Error(), "refused")
	}
	separated := func(want bool) {
		t.Helper()
		for _, address := range []string{"10.1.0.11", "fd00:1::11"} {
			await(t, w, a, fmt.Sprint(address, " is reached: ", !want), func(*v1alpha1.Attachment) bool { return reaches(address) != want })
		}
	}
	// names tells whether both gateways answer by both transports.
	names := func(want bool) {
		t.Helper()
		for _, gateway := range []string{"10.1.0.1", "fd00:1::1"} {
			for _, transport := range transports {
				got := ""
				await(t, w, a, fmt.Sprint("answered by ", gateway, ", ", transport, ": ", want), func(*v1alpha1.Attachment) bool {
					got = resolve(t, "a", transport, gateway, "other", miekg.TypeA)
					return want == (got == "NOERROR 10.1.0.11")
				})
			}
		}
	}
	leases := func(want bool) {
		t.Helper()
		await(t, w, a, fmt.Sprint("leases are given: ", want), func(*v1alpha1.Attachment) bool {
			four, err := vm.lease4()
			return (err == nil && four["ip"] == "10.1.0.78") == want
		})
		await(t, w, a, fmt.Sprint("IPv6 leases are given: ", want), func(*v1alpha1.Attachment) bool {
			return (vm.lease6()["new_ip6_address"] == "fd00:1::78") == want
		})
	}
	separated(false)
	names(true)
	leases(true)

	t.Run("a policy that lets nothing pass", func(t *testing.T) {
		p := w.policy(t, "none", fmt.Sprintf(dropAll, "web"))
		await(t, w, p, "programmed", programmed[*pol])
		separated(true)
		names(true)
		leases(true)

		t.Run("and one that denies names by name", func(t *testing.T) {
			named := w.policy(t, "nameless", `{priority: 10, network: web, egress: [
				{action: Deny, protocol: udp, ports: [{port: 53}]}, {action: Deny, protocol: tcp, ports: [{port: 53}]}]}`)
			await(t, w, named, "programmed", programmed[*pol])
			names(false)
			leases(true)
			w.delete(t, named)
			gone(t, w, named)
			names(true)
		})
		t.Run("and one that denies leases by name", func(t *testing.T) {
			named := w.policy(t, "leaseless", `{priority: 10, network: web, egress: [
				{action: Deny, protocol: udp, ports: [{port: 67}]}, {action: Deny, protocol: udp, ports: [{port: 547}]}]}`)
			await(t, w, named, "programmed", programmed[*pol])
			leases(false)
			names(true)
			w.delete(t, named)
			gone(t, w, named)
			leases(true)
		})
		w.delete(t, p)
		gone(t, w, p)
		separated(false)
	})

	t.Run("endpoints are separated", func(t *testing.T) {
		n = await(t, w, n, "ready", ready[*v1alpha1.Network])
		n.Spec.InterContainer = &apart
		if err := w.Update(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		separated(true)
		names(true)
		leases(true)
		t.Run("and a policy lets nothing pass", func(t *testing.T) {
			p := w.policy(t, "none", fmt.Sprintf(dropAll, "web"))
			await(t, w, p, "programmed", programmed[*pol])
			separated(true)
			names(true)
			leases(true)
		})
	})
}
