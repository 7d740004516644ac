// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	ns "github.com/vishvananda/netns"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// within runs fn in a network namespace of netns.
func within(t *testing.T, name string, fn func() error) error {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		h, err := ns.GetFromPath("/run/netns/" + name)
		if err == nil {
			defer func() { _ = h.Close() }()
			if err = ns.Set(h); err == nil {
				err = fn()
			}
		}
		done <- err
	}()
	return <-done
}

// resolve asks a server from a namespace, and writes the answer in short.
func resolve(t *testing.T, from, transport, server, name string, kind uint16) string {
	t.Helper()
	out := ""
	err := within(t, from, func() error {
		c := miekg.Client{Net: transport, Timeout: time.Second}
		m, _, err := c.Exchange(new(miekg.Msg).SetQuestion(miekg.Fqdn(name), kind), net.JoinHostPort(server, "53"))
		if err != nil {
			return err
		}
		var values []string
		for _, rr := range m.Answer {
			fields := strings.Fields(rr.String())
			values = append(values, fields[len(fields)-1])
		}
		slices.Sort(values)
		out = strings.TrimSpace(miekg.RcodeToString[m.Rcode] + " " + strings.Join(values, " "))
		return nil
	})
	if err != nil {
		return err.Error()
	}
	return out
}

// TestNames: containers find each other at their gateway, by both transports
// and families, whatever happens to the parts in between.
func TestNames(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b", "d", "six", "q"} {
		netns(t, name)
	}
	w.network(t, "web", "10.1.0.0/24", "fd00:1::/64")
	w.network(t, "db", "10.2.0.0/24")
	w.network(t, "only6", "fd00:6::/64")
	off := false
	quiet := &v1alpha1.Network{}
	quiet.Name = "quiet"
	quiet.Spec.Subnets = []v1alpha1.Subnet{{CIDR: "10.9.0.0/24"}}
	quiet.Spec.DNS = &v1alpha1.NetworkDNS{Enabled: &off}
	w.create(t, quiet)
	named := func(name, address string, aliases ...string) func(*v1alpha1.AttachmentSpec) {
		return func(s *v1alpha1.AttachmentSpec) {
			s.Container = v1alpha1.Container{Name: name, Aliases: aliases}
			s.Addresses = []string{address}
		}
	}
	a := await(t, w, w.attachment(t, "a", "web", named("web-a", "10.1.0.10", "app")), "ready", ready[*v1alpha1.Attachment])
	b := await(t, w, w.attachment(t, "b", "web", named("web-b", "10.1.0.11", "app")), "ready", ready[*v1alpha1.Attachment])
	await(t, w, w.attachment(t, "d", "db", named("db-d", "10.2.0.10", "app")), "ready", ready[*v1alpha1.Attachment])
	await(t, w, w.attachment(t, "six", "only6", named("six", "fd00:6::10")), "ready", ready[*v1alpha1.Attachment])
	await(t, w, w.attachment(t, "q", "quiet", named("q", "10.9.0.10")), "ready", ready[*v1alpha1.Attachment])
	expect := func(from, server, name string, kind uint16, want string) {
		t.Helper()
		for _, transport := range []string{"udp", "tcp"} {
			got := ""
			await(t, w, a, fmt.Sprint(from, " asks ", server, " for ", name, " by ", transport), func(*v1alpha1.Attachment) bool {
				got = resolve(t, from, transport, server, name, kind)
				return got == want
			})
		}
	}
	expect("a", "10.1.0.1", "web-b.web", miekg.TypeA, "NOERROR 10.1.0.11")
	expect("a", "10.1.0.1", "web-b", miekg.TypeAAAA, "NOERROR "+address6(b))
	expect("a", "fd00:1::1", "app", miekg.TypeA, "NOERROR 10.1.0.10 10.1.0.11")
	expect("a", "10.1.0.1", "10.0.1.10.in-addr.arpa", miekg.TypePTR, "NOERROR web-a.web.")
	expect("a", "10.1.0.1", "db-d.db", miekg.TypeA, "SERVFAIL") // is asked for outside, where nobody is
	expect("d", "10.2.0.1", "app", miekg.TypeA, "NOERROR 10.2.0.10")
	expect("six", "fd00:6::1", "six.only6", miekg.TypeAAAA, "NOERROR fd00:6::10")

	t.Run("nothing else of the host is reached", func(t *testing.T) {
		for _, address := range []string{"100.64.0.2:54", "[" + topology.UplinkAddresses()[1].String() + "]:54"} {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			err = within(t, "a", func() error {
				c, err := net.DialTimeout("tcp", address, time.Second)
				if err == nil {
					_ = c.Close()
				}
				return err
			})
			if err == nil {
				t.Errorf("%s is reached", address)
			}
			_ = l.Close()
		}
		// All gateways are one router. Whichever is asked, who asks decides.
		expect("a", "10.2.0.1", "web-b", miekg.TypeA, "NOERROR 10.1.0.11")
		expect("a", "10.2.0.1", "app", miekg.TypeA, "NOERROR 10.1.0.10 10.1.0.11")
		await(t, w, a, "refused without a name server", func(*v1alpha1.Attachment) bool {
			return resolve(t, "q", "udp", "10.2.0.1", "db-d", miekg.TypeA) == "REFUSED"
		})
		if got := resolve(t, "q", "tcp", "10.2.0.1", "db-d", miekg.TypeA); strings.Contains(got, "10.2.0.10") {
			t.Errorf("whose network has no name server is told %s", got)
		}
	})

	t.Run("a container gets another name", func(t *testing.T) {
		b = await(t, w, b, "there", func(*v1alpha1.Attachment) bool { return true })
		b.Spec.Container = v1alpha1.Container{Name: "renamed"}
		if err := w.Update(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		expect("a", "10.1.0.1", "renamed.web", miekg.TypeA, "NOERROR 10.1.0.11")
		expect("a", "10.1.0.1", "web-b.web", miekg.TypeA, "NXDOMAIN")
		expect("a", "10.1.0.1", "app", miekg.TypeA, "NOERROR 10.1.0.10")
	})

	// back waits until a row is as it says again, and the switches do as it says:
	// else the question below may be answered before the fault has its effect.
	back := func(condition ...string) {
		t.Helper()
		w.nb(t, append([]string{"--timeout=20", "wait-until"}, condition...)...)
		w.nb(t, "--timeout=20", "--wait=hv", "sync")
	}
	uplink := func() int {
		link, err := netlink.LinkByName(topology.UplinkInterface)
		if err != nil {
			return 0
		}
		return link.Attrs().Index
	}
	// anew waits until the uplink's device is another one.
	anew := func(before int) {
		t.Helper()
		await(t, w, a, "another uplink", func(*v1alpha1.Attachment) bool { now := uplink(); return now != 0 && now != before })
	}
	for _, c := range []struct {
		what string
		do   func()
	}{
		{"the load balancers are deleted by hand", func() {
			w.nb(t, "lb-del", "arca-dns-udp-web", "--", "lb-del", "arca-dns-tcp-web")
			back("Load_Balancer", "arca-dns-udp-web", "vips!={}")
			back("Load_Balancer", "arca-dns-tcp-web", "vips!={}")
		}},
		{"a load balancer is changed by hand", func() {
			w.nb(t, "clear", "Load_Balancer", "arca-dns-udp-web", "vips")
			back("Load_Balancer", "arca-dns-udp-web", "vips!={}")
		}},
		{"they are taken off the router by hand", func() {
			w.nb(t, "clear", "Logical_Router", "arca", "load_balancer")
			back("Logical_Router", "arca", "load_balancer!=[]")
		}},
		{"the router is unbound from this host by hand", func() {
			w.nb(t, "clear", "Logical_Router_Port", "arca_join-rtr", "gateway_chassis")
			back("Logical_Router_Port", "arca_join-rtr", "gateway_chassis!=[]")
		}},
		{"the uplink's port is deleted by hand", func() {
			before := uplink()
			w.vsctl(t, "del-port", topology.UplinkInterface)
			anew(before)
		}},
		{"the uplink's device is deleted by hand", func() {
			before := uplink()
			run(t, "ip", "link", "del", topology.UplinkInterface)
			anew(before)
		}},
		{"ovs-vswitchd is killed, and with it the uplink", func() {
			w.signal(t, "ovs-vswitchd", syscall.SIGKILL)
		}},
		{"the controllers are started anew", func() { w.stop(); w.run(t) }},
	} {
		t.Run(c.what, func(t *testing.T) {
			c.do()
			expect("a", "10.1.0.1", "renamed", miekg.TypeA, "NOERROR 10.1.0.11")
		})
	}

	t.Run("a network without a name server has no load balancer", func(t *testing.T) {
		if got := w.nb(t, "--bare", "--columns=name", "find", "Load_Balancer", "external_ids:arca-owner-name=quiet"); got != "" {
			t.Errorf("it has %s", got)
		}
		quiet = await(t, w, quiet, "ready", ready[*v1alpha1.Network])
		quiet.Spec.DNS = nil
		if err := w.Update(t.Context(), quiet); err != nil {
			t.Fatal(err)
		}
		await(t, w, quiet, "load balancers", func(*v1alpha1.Network) bool {
			return strings.Count(w.nb(t, "--bare", "--columns=name", "find", "Load_Balancer", "external_ids:arca-owner-name=quiet"), "arca-dns-") == 2
		})
	})
}

func address6(a *v1alpha1.Attachment) string {
	for _, s := range a.Status.Addresses {
		if p, _, err := net.ParseCIDR(s); err == nil && p.To4() == nil {
			return p.String()
		}
	}
	return ""
}
