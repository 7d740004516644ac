// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/miekg/dns"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"

	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
)

// TestMain gives the tests a network namespace of their own: the host.
func TestMain(m *testing.M) { ovntest.Main(m) }

const testPatience = 10 * time.Second

// site is a host with a server, containers behind its uplink0, and the outside
// with name servers behind its eth0.
type site struct {
	*Server
	t          testing.TB
	records    *Records
	resolvConf string
}

func newSite(t *testing.T, change func(*Options)) *site {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	s := &site{t: t, records: sample(), resolvConf: filepath.Join(t.TempDir(), "resolv.conf")}
	t.Cleanup(func() {
		if err := goleak.Find(leaks); err != nil {
			t.Errorf("goroutines leaked: %v", err)
		}
	})
	for _, ns := range []string{"containers", "inet"} {
		s.ip("netns", "add", ns)
		t.Cleanup(func() { s.ip("netns", "del", ns) })
	}
	s.plug()
	s.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", "inet")
	t.Cleanup(func() { s.ip("link", "del", "eth0") })
	s.ip("addr", "add", "192.0.2.1/24", "dev", "eth0")
	s.ip("link", "set", "eth0", "up")
	s.ip("-n", "inet", "link", "set", "eth0", "up")
	for _, a := range []string{"192.0.2.53/24", "192.0.2.54/24", "192.0.2.55/24"} {
		s.ip("-n", "inet", "addr", "add", a, "dev", "eth0")
	}
	s.hostServers("192.0.2.53")
	o := Options{
		Records: s.records, Interface: "uplink0", Addresses: addrs("100.64.0.2", "fd64::2"),
		ResolvConf: s.resolvConf, Log: testr.New(t),
	}
	if change != nil {
		change(&o)
	}
	var err error
	if s.Server, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	s.eventually("the server listens", func() error { return s.Check(ctx) })
	return s
}

// plug makes uplink0, with the containers of sample at its other end.
func (s *site) plug() {
	s.ip("link", "add", "uplink0", "type", "veth", "peer", "name", "eth0", "netns", "containers")
	for _, a := range []string{"100.64.0.2/16", "fd64::2/64"} {
		s.ip("addr", "add", a, "dev", "uplink0", "nodad")
	}
	s.ip("link", "set", "uplink0", "up")
	s.ip("-n", "containers", "link", "set", "eth0", "up")
	for _, a := range []string{"10.1.0.2/32", "10.1.0.3/32", "10.1.0.4/32", "10.2.0.2/32", "10.1.0.99/32", "10.3.0.2/32", "fd00:1::2/128"} {
		s.ip("-n", "containers", "addr", "add", a, "dev", "eth0", "nodad")
	}
	s.ip("-n", "containers", "route", "add", "100.64.0.0/16", "dev", "eth0")
	s.ip("-n", "containers", "route", "add", "fd64::/64", "dev", "eth0")
	for _, r := range []string{"10.0.0.0/8", "fd00:1::/64"} {
		s.ip("route", "add", r, "dev", "uplink0")
	}
	s.t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "uplink0").Run() })
}

func (s *site) ip(args ...string) {
	s.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		s.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func (s *site) eventually(what string, check func() error) {
	s.t.Helper()
	var err error
	for limit := time.Now().Add(testPatience); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	s.t.Fatalf("%s: %v", what, err)
}

// hostServers replaces the host's resolv.conf.
func (s *site) hostServers(servers ...string) {
	s.t.Helper()
	text := "# servers\nsearch lan\n"
	for _, a := range servers {
		text += "nameserver " + a + "\n"
	}
	if err := os.WriteFile(s.resolvConf+".new", []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(s.resolvConf+".new", s.resolvConf); err != nil {
		s.t.Fatal(err)
	}
}

// within runs fn in a network namespace.
func within(t testing.TB, name string, fn func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		h, err := netns.GetFromName(name)
		if err == nil {
			defer func() { _ = h.Close() }()
			if err = netns.Set(h); err == nil {
				err = fn()
			}
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// dig asks the server over the wire.
func (s *site) dig(transport, from, name string, kind uint16) (m *dns.Msg, err error) {
	s.t.Helper()
	src, at := netip.MustParseAddr(from), "100.64.0.2:53"
	if src.Is6() {
		at = "[fd64::2]:53"
	}
	within(s.t, "containers", func() error {
		var local net.Addr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(src, 0))
		if transport == "tcp" {
			local = net.TCPAddrFromAddrPort(netip.AddrPortFrom(src, 0))
		}
		c := dns.Client{Net: transport, Dialer: &net.Dialer{LocalAddr: local, Timeout: testPatience}, Timeout: testPatience}
		m, _, err = c.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(name), kind), at)
		return nil
	})
	return m, err
}

func (s *site) expect(from, name string, kind uint16, want string) {
	s.t.Helper()
	for _, transport := range []string{"udp", "tcp"} {
		m, err := s.dig(transport, from, name, kind)
		if err != nil {
			s.t.Errorf("%s asks for %s by %s: %v", from, name, transport, err)
		} else if got := says(m, false); got != want {
			s.t.Errorf("%s asks for %s by %s: got %q, want %q", from, name, transport, got, want)
		}
	}
}

// outside is a name server of the outside, which can be told to be silent, slow
// or brief. It is silent for names below dead.example.com whatever it is told.
type outside struct {
	asked  atomic.Int64
	silent atomic.Bool
	hold   sync.RWMutex // answers wait while it is locked
}

// serve starts one; it knows every name below example.com as its own address.
func (s *site) serve(address string) *outside {
	s.t.Helper()
	o := &outside{}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		o.asked.Add(1)
		name := strings.ToLower(r.Question[0].Name)
		if o.silent.Load() || strings.HasSuffix(name, ".dead.example.com.") {
			return
		}
		o.hold.RLock()
		defer o.hold.RUnlock()
		m := new(dns.Msg).SetReply(r)
		_, udp := w.RemoteAddr().(*net.UDPAddr)
		soa := &dns.SOA{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60}, Ns: "ns.example.com.", Mbox: "x.example.com.", Minttl: 60}
		switch {
		case (name == "big.example.com." || strings.HasSuffix(name, ".cut.example.com.")) && udp:
			m.Truncated = true
		case strings.HasSuffix(name, ".cut.example.com."):
			_ = w.Close()
			return
		case name == "refused.example.com.":
			m.Rcode = dns.RcodeRefused
		case strings.HasPrefix(name, "no.") || !strings.HasSuffix(name, "example.com."):
			m.Rcode, m.Ns = dns.RcodeNameError, []dns.RR{soa}
		default:
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: r.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(address)}}
		}
		m.SetEdns0(1232, false)
		_ = w.WriteMsg(m)
	})
	var servers []*dns.Server
	within(s.t, "inet", func() error {
		pc, err := net.ListenPacket("udp", address+":53")
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp", address+":53")
		servers = []*dns.Server{{PacketConn: pc, Handler: handler}, {Listener: l, Handler: handler}}
		return err
	})
	for _, server := range servers {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { _ = server.ActivateAndServe() }()
		<-started
		s.t.Cleanup(func() { _ = server.Shutdown() })
	}
	return o
}

// TestServe: over the wire, by both transports and families.
func TestServe(t *testing.T) {
	s := newSite(t, nil)
	s.serve("192.0.2.53")
	s.expect("10.1.0.3", "web-1.web", dns.TypeA, "NOERROR 10.1.0.2")
	s.expect("fd00:1::2", "web_2", dns.TypeA, "NOERROR 10.1.0.3")
	s.expect("10.1.0.3", "www.example.com", dns.TypeA, "NOERROR 192.0.2.53")
	s.expect("10.1.0.3", "no.example.com", dns.TypeA, "NXDOMAIN example.com. SOA")
	s.expect("10.1.0.3", "big.example.com", dns.TypeA, "NOERROR 192.0.2.53")
	s.expect("10.3.0.2", "www.example.com", dns.TypeA, "NXDOMAIN . SOA")
	if m, err := s.dig("udp", "10.1.0.99", "web-1.web", dns.TypeA); err != nil || m.Rcode != dns.RcodeRefused {
		t.Errorf("an address of nobody got %v, %v", m, err)
	}
	if m, err := s.dig("tcp", "10.1.0.99", "web-1.web", dns.TypeA); err == nil {
		t.Errorf("an address of nobody got %v by TCP", m)
	}
	for i := range 50 {
		s.records.SetAttachment(Attachment{Name: fmt.Sprint("r", i), Network: "web", Names: []string{"many"}, Addresses: addrs(fmt.Sprint("10.1.0.", 100+i))})
	}
	if m, err := s.dig("udp", "10.1.0.3", "many.web", dns.TypeA); err != nil || !m.Truncated {
		t.Errorf("by UDP: %v, %v, want it truncated", m, err)
	}
	if m, err := s.dig("tcp", "10.1.0.3", "many.web", dns.TypeA); err != nil || m.Truncated || len(m.Answer) != 50 {
		t.Errorf("by TCP: %v, %v, want 50 answers", m, err)
	}
}

// TestNotOpen: who comes by another interface is not heard, whatever address
// it claims to have.
func TestNotOpen(t *testing.T) {
	s := newSite(t, nil)
	s.ip("-n", "inet", "route", "add", "100.64.0.2/32", "via", "192.0.2.1")
	s.ip("-n", "inet", "addr", "add", "10.1.0.3/32", "dev", "eth0")
	within(t, "inet", func() error {
		for _, from := range []string{"192.0.2.53", "10.1.0.3"} {
			c := dns.Client{Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}, Timeout: 300 * time.Millisecond}
			if m, _, err := c.Exchange(new(dns.Msg).SetQuestion("web-1.web.", dns.TypeA), "100.64.0.2:53"); err == nil {
				t.Errorf("%s from outside got %v", from, m)
			}
		}
		return nil
	})
}

// TestRebind: the interface is made anew, as when ovs-vswitchd was restarted.
func TestRebind(t *testing.T) {
	s := newSite(t, nil)
	s.expect("10.1.0.3", "web-1.web", dns.TypeA, "NOERROR 10.1.0.2")
	s.ip("link", "del", "uplink0")
	s.eventually("the server says that it is gone", func() error {
		if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "uplink0") {
			return fmt.Errorf("Check: %v", err)
		}
		return nil
	})
	s.plug()
	s.Rebind()
	s.eventually("the server listens", func() error { return s.Check(t.Context()) })
	s.expect("10.1.0.3", "web-1.web", dns.TypeA, "NOERROR 10.1.0.2")
}

// TestCached: one question is asked outside once, by however many at once, and
// forgotten when the host's servers change.
func TestCached(t *testing.T) {
	s := newSite(t, nil)
	o := s.serve("192.0.2.53")
	o.hold.Lock()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if m, err := s.dig("udp", "10.1.0.3", "www.example.com", dns.TypeA); err != nil || len(m.Answer) != 1 {
				t.Errorf("got %v, %v", m, err)
			}
		})
	}
	s.eventually("the question is on its way", func() error {
		if o.asked.Load() == 0 {
			return fmt.Errorf("not asked")
		}
		return nil
	})
	o.hold.Unlock()
	wg.Wait()
	s.expect("10.1.0.2", "WWW.example.com", dns.TypeA, "NOERROR 192.0.2.53")
	if n := o.asked.Load(); n > 2 { // twice, if answering took longer than patience
		t.Errorf("it was asked %d times", n)
	}
	s.serve("192.0.2.54")
	s.hostServers("192.0.2.54")
	s.eventually("the new server is asked", func() error {
		m, err := s.dig("udp", "10.1.0.3", "www.example.com", dns.TypeA)
		if got := says(m, false); err != nil || got != "NOERROR 192.0.2.54" {
			return fmt.Errorf("got %s, %v", got, err)
		}
		return nil
	})
}

// TestOwnServers: a network's own servers are asked for it, and for no other.
func TestOwnServers(t *testing.T) {
	s := newSite(t, nil)
	s.serve("192.0.2.53")
	s.serve("192.0.2.55")
	n := net1("web", "web", "10.1.0.0/24", "fd00:1::/64")
	n.Upstreams = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.55:53")}
	s.records.SetNetwork(n)
	s.expect("10.1.0.3", "www.example.com", dns.TypeA, "NOERROR 192.0.2.55")
	s.expect("10.2.0.2", "www.example.com", dns.TypeA, "NOERROR 192.0.2.53")
}

// TestServersFail: another server is asked; where all are down, that is said at
// once; when one is back, it is found.
func TestServersFail(t *testing.T) {
	s := newSite(t, nil)
	first, second := s.serve("192.0.2.53"), s.serve("192.0.2.54")
	s.hostServers("192.0.2.53", "192.0.2.54")
	s.eventually("both are known", func() error {
		if n := len(s.handler.host.Load().servers); n != 2 {
			return fmt.Errorf("%d servers", n)
		}
		return nil
	})
	first.silent.Store(true)
	for i := range 6 {
		s.expect("10.1.0.3", fmt.Sprintf("a%d.example.com", i), dns.TypeA, "NOERROR 192.0.2.54")
	}
	before := first.asked.Load()
	s.expect("10.1.0.3", "b.example.com", dns.TypeA, "NOERROR 192.0.2.54")
	if first.asked.Load() > before+1 {
		t.Error("a server that is down is asked again and again")
	}
	s.expect("10.1.0.3", "refused.example.com", dns.TypeA, "REFUSED")
	second.silent.Store(true)
	down := func(i int) error {
		_, err := s.handler.forward.exchange(t.Context(), s.handler.host.Load().servers, cacheKey{question: "\x01x\x00\x00\x01\x00\x01"})
		if err != errDown {
			return fmt.Errorf("attempt %d: %v", i, err)
		}
		return nil
	}
	i := 0
	s.eventually("both count as down", func() error { i++; return down(i) })
	s.expect("10.1.0.3", "c.example.com", dns.TypeA, "SERVFAIL")
	s.expect("10.1.0.3", "web-1", dns.TypeA, "NOERROR 10.1.0.2")
	first.silent.Store(false)
	s.eventually("the server is found again", func() error {
		i++
		m, err := s.dig("udp", "10.1.0.3", fmt.Sprintf("d%d.example.com", i), dns.TypeA)
		if got := says(m, false); err != nil || got != "NOERROR 192.0.2.53" {
			return fmt.Errorf("got %s, %v", got, err)
		}
		return nil
	})
}

// TestNamesFail: servers that are silent for some names, or break off, are asked
// for all others.
func TestNamesFail(t *testing.T) {
	for _, servers := range [][]string{{"192.0.2.53"}, {"192.0.2.53", "192.0.2.54"}} {
		t.Run(fmt.Sprint(len(servers)), func(t *testing.T) {
			s := newSite(t, nil)
			for _, a := range servers {
				s.serve(a)
			}
			s.hostServers(servers...)
			s.eventually("the servers are known", func() error {
				if n := len(s.handler.host.Load().servers); n != len(servers) {
					return fmt.Errorf("%d servers", n)
				}
				return nil
			})
			dig := func(name string, kind uint16, want int) {
				m, err := s.dig("udp", "10.1.0.3", name, kind)
				if err != nil || m.Rcode != want {
					t.Errorf("%s: got %v, %v, want %s", name, m, err, dns.RcodeToString[want])
				}
			}
			for i, zone := range []string{"cut", "dead"} {
				var wg sync.WaitGroup
				for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
					wg.Go(func() { dig(fmt.Sprintf("a%d.%s.example.com", i, zone), kind, dns.RcodeServerFailure) })
				}
				wg.Wait()
				dig(fmt.Sprintf("b%d.example.com", i), dns.TypeA, dns.RcodeSuccess)
			}
		})
	}
}

// TestSilent: a server that is silent altogether is down when a question has
// failed, not later, and is hardly asked more for all the questions that wait.
func TestSilent(t *testing.T) {
	s := newSite(t, nil)
	o := s.serve("192.0.2.53")
	o.silent.Store(true)
	servers := s.handler.host.Load().servers
	ask := func(i int) error {
		_, err := s.handler.forward.exchange(t.Context(), servers, cacheKey{question: wireName(fmt.Sprintf("\x03%03d\x00\x00\x01\x00\x01", i))})
		return err
	}
	const questions = 50
	var wg sync.WaitGroup
	for i := range questions {
		wg.Go(func() {
			if err := ask(i); err == nil || err == errDown {
				t.Errorf("question %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if err := ask(questions); err != errDown {
		t.Errorf("after questions have failed: %v", err)
	}
	if n := o.asked.Load(); n > 2*questions+5 {
		t.Errorf("it was asked %d times for %d questions", n, questions)
	}
	s.eventually("the server is tried", func() error {
		if err := ask(questions); err == errDown {
			return err
		}
		return nil
	})
	if err := ask(questions); err != errDown {
		t.Errorf("after it was tried: %v", err)
	}
	// The question that tries it may be one that it is silent for.
	o.silent.Store(false)
	s.eventually("the server is tried again", func() error {
		_, err := s.handler.forward.exchange(t.Context(), servers, cacheKey{question: "\x01a\x04dead\x07example\x03com\x00\x00\x01\x00\x01"})
		if err == errDown {
			return err
		}
		return nil
	})
	s.expect("10.1.0.3", "www.example.com", dns.TypeA, "NOERROR 192.0.2.53")
}

// TestHealth: what condemns a server, and what does not.
func TestHealth(t *testing.T) {
	start := time.Now()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	a, b := netip.MustParseAddrPort("192.0.2.53:53"), netip.MustParseAddrPort("192.0.2.54:53")
	for what, c := range map[string]struct {
		told func(*health)
		want string // the order at second 10
	}{
		"nothing":          {func(*health) {}, "[a b]"},
		"a question fails": {func(h *health) { h.failed(a, at(1), at(4)) }, "[b a]"},
		"many do": {func(h *health) {
			for i := range 5 {
				h.failed(a, at(i), at(i+3))
			}
		}, "[b a]"},
		"a probe does": {func(h *health) { h.probed(a, at(1), at(2), probeSilent) }, "[a b]"},
		"both do": {func(h *health) {
			h.probed(a, at(7), at(8), probeSilent)
			h.failed(a, at(6), at(10))
		}, "[b]"},
		"the probe later": {func(h *health) {
			h.failed(a, at(6), at(8))
			h.probed(a, at(7), at(10), probeSilent)
		}, "[b]"},
		"both do, and time passes": {func(h *health) {
			h.probed(a, at(2), at(3), probeSilent)
			h.failed(a, at(1), at(4))
		}, "[b a]"},
		"another question was answered": {func(h *health) {
			h.answered(a, at(3))
			h.failed(a, at(2), at(5))
			h.probed(a, at(2), at(5), probeSilent)
		}, "[a b]"},
		"a probe was": {func(h *health) {
			h.probed(a, at(2), at(3), probeAnswered)
			h.failed(a, at(1), at(4))
		}, "[b a]"},
		"a probe was, after another": {func(h *health) {
			h.failed(a, at(6), at(9))
			h.probed(a, at(6), at(9), probeSilent)
			h.probed(a, at(9), at(10), probeAnswered)
		}, "[b a]"},
		"a question was, after both": {func(h *health) {
			h.failed(a, at(6), at(9))
			h.probed(a, at(6), at(9), probeSilent)
			h.answered(a, at(10))
		}, "[a b]"},
		"a probe was given up": {func(h *health) {
			h.failed(a, at(6), at(9))
			h.probed(a, at(6), at(9), probeGivenUp)
		}, "[b a]"},
	} {
		h, err := newHealth()
		if err != nil {
			t.Fatal(err)
		}
		c.told(h)
		order, _ := h.order([]netip.AddrPort{a, b}, at(10))
		if got := strings.NewReplacer(a.String(), "a", b.String(), "b").Replace(fmt.Sprint(order)); got != c.want {
			t.Errorf("%s: got %s, want %s", what, got, c.want)
		}
	}
	h, err := newHealth()
	if err != nil {
		t.Fatal(err)
	}
	if !h.doubt(a, at(1)) || h.doubt(a, at(1)) || !h.doubt(b, at(1)) {
		t.Error("not one probe at a time for each server")
	}
	h.probed(a, at(1), at(2), probeAnswered)
	if h.doubt(a, at(1)) || !h.doubt(a, at(3)) {
		t.Error("a server is to be probed for what was asked before its answer, or not for what was after it")
	}
	// Each trial doubles the time, and questions of before do not.
	h.probed(a, at(3), at(4), probeSilent)
	for range 10 {
		h.failed(a, at(3), at(4))
	}
	for i, want := range []time.Duration{1, 2, 4, 8, 15, 15} {
		if got := h.of(a).down; got != want*time.Second {
			t.Errorf("after %d trials it is down for %v, want %v", i, got, want*time.Second)
		}
		now := at(100 * (i + 1))
		if order, down := h.order([]netip.AddrPort{a}, now); !down || len(order) != 1 || !h.doubt(a, now) {
			t.Errorf("trial %d: order %v, down %v", i, order, down)
		}
		h.probed(a, now, now, probeSilent)
		h.failed(a, now, now)
	}
}

// TestFlood: a client that floods does not keep another from being answered.
func TestFlood(t *testing.T) {
	s := newSite(t, func(o *Options) { o.QueriesPerSecond = 50 })
	raw, err := new(dns.Msg).SetQuestion("web-1.web.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	answered := 0
	within(t, "containers", func() error {
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(10, 1, 0, 2)}, &net.UDPAddr{IP: net.IPv4(100, 64, 0, 2), Port: Port})
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		from := time.Now()
		for range 2000 {
			if _, err := c.Write(raw); err != nil {
				return err
			}
		}
		buf := make([]byte, 4096)
		for {
			_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			if _, err := c.Read(buf); err != nil {
				break
			}
			answered++
		}
		if most := 50 + int(50*time.Since(from).Seconds()) + 1; answered > most {
			t.Errorf("%d of 2000 were answered, want at most %d", answered, most)
		}
		return nil
	})
	if answered == 0 {
		t.Error("none was answered")
	}
	s.expect("10.1.0.3", "web-1", dns.TypeA, "NOERROR 10.1.0.2")
}

func TestParseResolvConf(t *testing.T) {
	got := fmt.Sprint(parseResolvConf("# x\nnameserver 192.0.2.1 # one\n nameserver\tfe80::1%eth0\nnameserver\nnameserver nope\nsearch a b\nnameserver 2001:db8::1"))
	if want := "[192.0.2.1:53 [fe80::1%eth0]:53 [2001:db8::1]:53]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := newUpstreams(parseResolvConf("nameserver 100.64.0.2\nnameserver 0.0.0.0\nnameserver 192.0.2.1"), addrs("100.64.0.2")); got.key != "192.0.2.1:53 " {
		t.Errorf("we would ask %q", got.key)
	}
}
