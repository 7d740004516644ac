// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func addrs(s ...string) (out []netip.Addr) {
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func net1(name, dnsName string, cidrs ...string) Network {
	n := Network{Name: name, DNSName: dnsName, Enabled: true, Forward: true}
	for _, c := range cidrs {
		n.Subnets = append(n.Subnets, netip.MustParsePrefix(c))
	}
	return n
}

// sample: web and db are separate; c1 is on both; sealed has no way out; off
// has no name server.
func sample() *Records {
	r := NewRecords()
	r.SetNetwork(net1("web", "web", "10.1.0.0/24", "fd00:1::/64"))
	r.SetNetwork(net1("db", "My_DB.lan", "10.2.0.0/24"))
	sealed := net1("sealed", "sealed", "10.3.0.0/24")
	sealed.Forward = false
	r.SetNetwork(sealed)
	off := net1("off", "off", "10.4.0.0/24")
	off.Enabled = false
	r.SetNetwork(off)
	for _, a := range []Attachment{
		{Name: "w1", Network: "web", Names: []string{"web-1", "app", "Front"}, Addresses: addrs("10.1.0.2", "fd00:1::2")},
		{Name: "w2", Network: "web", Names: []string{"web_2", "app", "x.y"}, Addresses: addrs("10.1.0.3")},
		{Name: "c1-web", Network: "web", Container: "c1", Names: []string{"c1"}, Addresses: addrs("10.1.0.4")},
		{Name: "c1-db", Network: "db", Container: "c1", Names: []string{"c1"}, Addresses: addrs("10.2.0.4")},
		{Name: "d1", Network: "db", Container: "d1", Names: []string{"db-1", "app"}, Addresses: addrs("10.2.0.2")},
		{Name: "s1", Network: "sealed", Names: []string{"s1"}, Addresses: addrs("10.3.0.2")},
		{Name: "o1", Network: "off", Names: []string{"o1"}, Addresses: addrs("10.4.0.2")},
	} {
		r.SetAttachment(a)
	}
	return r
}

func newHandler(t testing.TB, r *Records) *handler {
	t.Helper()
	s, err := New(Options{Records: r, Addresses: addrs("100.64.0.2")})
	if err != nil {
		t.Fatal(err)
	}
	s.handler.host.Store(newUpstreams([]netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}, nil))
	return s.handler
}

// ask sends a question through the handler and returns what the client reads,
// nil where there is no answer or others would be asked.
func (h *handler) ask(t testing.TB, from, name string, kind uint16, change func(*dns.Msg)) (answer *dns.Msg, forwarded bool) {
	t.Helper()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	if change != nil {
		change(m)
	}
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	var q query
	out, p := h.handle(&q, nil, raw, netip.MustParseAddr(from), false, turns.Add(1))
	if p != nil {
		h.done(p)
		return nil, true
	}
	if out == nil {
		return nil, false
	}
	answer = new(dns.Msg)
	if err := answer.Unpack(out); err != nil {
		t.Fatalf("%s %s: the answer cannot be read: %v", name, dns.TypeToString[kind], err)
	}
	if answer.Id != m.Id || !answer.Response || len(answer.Question) != 1 || answer.Question[0] != m.Question[0] {
		t.Errorf("%s: the answer is to another question: %v", name, answer)
	}
	return answer, false
}

// says writes an answer in short: code, then what it holds.
func says(m *dns.Msg, forwarded bool) string {
	switch {
	case forwarded:
		return "forward"
	case m == nil:
		return "nothing"
	}
	var values []string
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			values = append(values, rr.A.String())
		case *dns.AAAA:
			values = append(values, rr.AAAA.String())
		case *dns.PTR:
			values = append(values, rr.Ptr)
		default:
			values = append(values, dns.TypeToString[rr.Header().Rrtype])
		}
	}
	slices.Sort(values)
	for _, rr := range m.Ns {
		values = append(values, rr.Header().Name+" "+dns.TypeToString[rr.Header().Rrtype])
	}
	return strings.TrimSpace(dns.RcodeToString[m.Rcode] + " " + strings.Join(values, " "))
}

// TestVisible: who asks for what gets what.
func TestVisible(t *testing.T) {
	h := newHandler(t, sample())
	for _, c := range []struct {
		from, name string
		kind       uint16
		want       string
	}{
		// Its own network, by both kinds of name.
		{"10.1.0.3", "web-1.web", dns.TypeA, "NOERROR 10.1.0.2"},
		{"10.1.0.3", "web-1.web", dns.TypeAAAA, "NOERROR fd00:1::2"},
		{"10.1.0.3", "web-1", dns.TypeA, "NOERROR 10.1.0.2"},
		{"10.1.0.3", "WeB-1.wEb", dns.TypeA, "NOERROR 10.1.0.2"},
		{"10.1.0.2", "web_2", dns.TypeA, "NOERROR 10.1.0.3"},
		{"10.1.0.2", "front", dns.TypeA, "NOERROR 10.1.0.2"},
		{"fd00:1::2", "web_2.web", dns.TypeA, "NOERROR 10.1.0.3"},
		{"10.1.0.2", "x.y", dns.TypeA, "NOERROR 10.1.0.3"},
		{"10.1.0.2", "x.y.web", dns.TypeA, "NOERROR 10.1.0.3"},
		// All who have an alias; those of another network are not among them.
		{"10.1.0.3", "app", dns.TypeA, "NOERROR 10.1.0.2 10.1.0.3"},
		{"10.1.0.3", "app", dns.TypeAAAA, "NOERROR fd00:1::2"},
		{"10.2.0.2", "app", dns.TypeA, "NOERROR 10.2.0.2"},
		// No data is not no name.
		{"10.1.0.2", "web_2.web", dns.TypeAAAA, "NOERROR web. SOA"},
		{"10.1.0.2", "web_2", dns.TypeAAAA, "NOERROR . SOA"},
		{"10.1.0.2", "web-1.web", dns.TypeMX, "NOERROR web. SOA"},
		{"10.1.0.2", "y.web", dns.TypeA, "NOERROR web. SOA"},
		{"10.1.0.2", "web", dns.TypeA, "NOERROR web. SOA"},
		{"10.1.0.2", "web", dns.TypeSOA, "NOERROR SOA"},
		// What is not there does not exist, and is not asked for outside.
		{"10.1.0.2", "nobody.web", dns.TypeA, "NXDOMAIN web. SOA"},
		{"10.1.0.2", "a.web-1.web", dns.TypeA, "NXDOMAIN web. SOA"},
		{"10.1.0.2", "nobody", dns.TypeA, "forward"},
		{"10.1.0.2", "example.com", dns.TypeA, "forward"},
		// Other networks do not exist.
		{"10.1.0.2", "db-1.my_db.lan", dns.TypeA, "forward"},
		{"10.1.0.2", "db-1", dns.TypeA, "forward"},
		{"10.2.0.2", "web-1.web", dns.TypeA, "forward"},
		{"10.2.0.2", "db-1.My_DB.lan", dns.TypeA, "NOERROR 10.2.0.2"},
		{"10.1.0.2", "o1.off", dns.TypeA, "forward"},
		// A container on two networks sees both, by each of its addresses, its
		// own network first.
		{"10.1.0.4", "db-1.my_db.lan", dns.TypeA, "NOERROR 10.2.0.2"},
		{"10.1.0.4", "db-1", dns.TypeA, "NOERROR 10.2.0.2"},
		{"10.2.0.4", "web-1", dns.TypeA, "NOERROR 10.1.0.2"},
		{"10.1.0.4", "c1", dns.TypeA, "NOERROR 10.1.0.4"},
		{"10.2.0.4", "c1", dns.TypeA, "NOERROR 10.2.0.4"},
		{"10.2.0.4", "app", dns.TypeA, "NOERROR 10.2.0.2"},
		// No way out.
		{"10.3.0.2", "s1.sealed", dns.TypeA, "NOERROR 10.3.0.2"},
		{"10.3.0.2", "example.com", dns.TypeA, "NXDOMAIN . SOA"},
		// Addresses.
		{"10.1.0.3", "2.0.1.10.in-addr.arpa", dns.TypePTR, "NOERROR web-1.web."},
		{"10.1.0.3", "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.D.f.ip6.arpa", dns.TypePTR, "NOERROR web-1.web."},
		{"10.1.0.3", "2.0.1.10.in-addr.arpa", dns.TypeA, "NOERROR . SOA"},
		{"10.1.0.3", "9.0.1.10.in-addr.arpa", dns.TypePTR, "NXDOMAIN . SOA"},
		{"10.1.0.3", "2.0.2.10.in-addr.arpa", dns.TypePTR, "NXDOMAIN . SOA"},
		{"10.1.0.4", "2.0.2.10.in-addr.arpa", dns.TypePTR, "NOERROR db-1.my_db.lan."},
		{"10.1.0.3", "1.2.0.192.in-addr.arpa", dns.TypePTR, "forward"},
		{"10.1.0.3", "300.0.1.10.in-addr.arpa", dns.TypePTR, "forward"},
		{"10.1.0.3", "0.1.10.in-addr.arpa", dns.TypePTR, "forward"},
		// Nobody.
		{"10.1.0.9", "web-1", dns.TypeA, "REFUSED"},
		{"10.4.0.2", "o1", dns.TypeA, "REFUSED"},
		{"192.0.2.1", "example.com", dns.TypeA, "REFUSED"},
	} {
		if got := says(h.ask(t, c.from, c.name, c.kind, nil)); got != c.want {
			t.Errorf("%s asks for %s %s: got %q, want %q", c.from, c.name, dns.TypeToString[c.kind], got, c.want)
		}
	}
}

// TestDotted: a name with dots takes nothing away of those above it but below
// the network's own.
func TestDotted(t *testing.T) {
	r := sample()
	r.SetAttachment(Attachment{Name: "w3", Network: "web", Names: []string{"api.example.com", "my.db-1", "a.b.web"}, Addresses: addrs("10.1.0.5")})
	h := newHandler(t, r)
	for _, c := range []struct {
		from, name string
		kind       uint16
		want       string
	}{
		{"10.1.0.3", "api.example.com", dns.TypeA, "NOERROR 10.1.0.5"},
		{"10.1.0.3", "api.example.com", dns.TypeAAAA, "NOERROR . SOA"},
		{"10.1.0.3", "api.example.com.web", dns.TypeA, "NOERROR 10.1.0.5"},
		{"10.1.0.3", "example.com.web", dns.TypeA, "NOERROR web. SOA"},
		{"10.1.0.3", "com.web", dns.TypeA, "NOERROR web. SOA"},
		{"10.1.0.3", "example.com", dns.TypeA, "forward"},
		{"10.1.0.3", "www.example.com", dns.TypeA, "forward"},
		{"10.1.0.3", "com", dns.TypeNS, "forward"},
		// Another network's name is not hidden either.
		{"10.1.0.3", "db-1", dns.TypeA, "forward"},
		{"10.1.0.4", "db-1", dns.TypeA, "NOERROR 10.2.0.2"},
		{"10.1.0.4", "my.db-1", dns.TypeA, "NOERROR 10.1.0.5"},
		// A name that ends like the network is above others all the same.
		{"10.1.0.3", "a.b.web", dns.TypeA, "NOERROR 10.1.0.5"},
		{"10.1.0.3", "b.web", dns.TypeA, "NOERROR web. SOA"},
		{"10.1.0.3", "c.web", dns.TypeA, "NXDOMAIN web. SOA"},
		{"10.1.0.3", "web", dns.TypeA, "NOERROR web. SOA"},
	} {
		if got := says(h.ask(t, c.from, c.name, c.kind, nil)); got != c.want {
			t.Errorf("%s asks for %s %s: got %q, want %q", c.from, c.name, dns.TypeToString[c.kind], got, c.want)
		}
	}
}

// TestUnwritable: a network whose name nobody can ask for has bare names, and a
// way out.
func TestUnwritable(t *testing.T) {
	for _, dnsName := range []string{strings.Repeat("0a", 32), "a..b", "", ".", strings.Repeat("a.", 127) + "b"} {
		r := sample()
		r.SetNetwork(net1("web", dnsName, "10.1.0.0/24", "fd00:1::/64"))
		h := newHandler(t, r)
		expect := func(from, name string, kind uint16, want string) {
			t.Helper()
			if got := says(h.ask(t, from, name, kind, nil)); got != want {
				t.Errorf("network %q: %s asks for %s %s: got %q, want %q", dnsName, from, name, dns.TypeToString[kind], got, want)
			}
		}
		expect("10.1.0.3", "web-1", dns.TypeA, "NOERROR 10.1.0.2")
		expect("10.1.0.3", "web_2", dns.TypeAAAA, "NOERROR . SOA")
		expect("10.2.0.4", "web-1", dns.TypeA, "NOERROR 10.1.0.2")
		expect("10.1.0.4", "db-1.my_db.lan", dns.TypeA, "NOERROR 10.2.0.2")
		// No name is below it.
		expect("10.1.0.3", "web-1.web", dns.TypeA, "forward")
		expect("10.1.0.3", "a.b", dns.TypeA, "forward")
		expect("10.1.0.3", "example.com", dns.TypeA, "forward")
		expect("10.1.0.3", ".", dns.TypeNS, "forward")
		// An address has the bare name.
		expect("10.1.0.3", "2.0.1.10.in-addr.arpa", dns.TypePTR, "NOERROR web-1.")
		expect("10.1.0.3", "9.0.1.10.in-addr.arpa", dns.TypePTR, "NXDOMAIN . SOA")
		r.SetAttachment(Attachment{Name: "w1", Network: "web", Names: []string{"renamed"}, Addresses: addrs("10.1.0.2")})
		expect("10.1.0.3", "2.0.1.10.in-addr.arpa", dns.TypePTR, "NOERROR renamed.")
		r.SetNetwork(net1("web", "web", "10.1.0.0/24"))
		expect("10.1.0.3", "2.0.1.10.in-addr.arpa", dns.TypePTR, "NOERROR renamed.web.")
		expect("10.1.0.3", "renamed.web", dns.TypeA, "NOERROR 10.1.0.2")
	}
}

// TestChange: an answer is what was last told, whatever was before.
func TestChange(t *testing.T) {
	r := sample()
	h := newHandler(t, r)
	expect := func(from, name, want string) {
		t.Helper()
		if got := says(h.ask(t, from, name, dns.TypeA, nil)); got != want {
			t.Errorf("%s asks for %s: got %q, want %q", from, name, got, want)
		}
	}
	r.SetAttachment(Attachment{Name: "w1", Network: "web", Names: []string{"renamed", "app"}, Addresses: addrs("10.1.0.22")})
	expect("10.1.0.3", "renamed.web", "NOERROR 10.1.0.22")
	expect("10.1.0.3", "web-1.web", "NXDOMAIN web. SOA")
	expect("10.1.0.3", "app", "NOERROR 10.1.0.22 10.1.0.3")
	expect("10.1.0.22", "app", "NOERROR 10.1.0.22 10.1.0.3")
	expect("10.1.0.2", "app", "REFUSED")

	// An address that changes hands is the new one's, in whatever order it is told.
	r.SetAttachment(Attachment{Name: "w3", Network: "web", Names: []string{"w3"}, Addresses: addrs("10.1.0.22")})
	r.DeleteAttachment("w1")
	expect("10.1.0.22", "w3", "NOERROR 10.1.0.22")
	expect("10.1.0.22", "app", "NOERROR 10.1.0.3")

	// A network's name changes, and all below it.
	r.SetNetwork(net1("web", "www", "10.1.0.0/24"))
	expect("10.1.0.3", "w3.www", "NOERROR 10.1.0.22")
	expect("10.1.0.3", "w3.web", "forward")
	if got := says(h.ask(t, "10.1.0.3", "22.0.1.10.in-addr.arpa", dns.TypePTR, nil)); got != "NOERROR w3.www." {
		t.Errorf("the address is called %q", got)
	}

	// A container leaves one of its networks.
	expect("10.1.0.4", "db-1", "NOERROR 10.2.0.2")
	r.DeleteAttachment("c1-db")
	expect("10.1.0.4", "db-1", "forward")

	// A network goes before its attachments, and comes back.
	r.DeleteNetwork("web")
	expect("10.1.0.3", "w3", "REFUSED")
	r.SetNetwork(net1("web", "web", "10.1.0.0/24"))
	expect("10.1.0.3", "w3.web", "NOERROR 10.1.0.22")

	for _, a := range slices.Collect(maps.Keys(r.attachments)) {
		r.DeleteAttachment(a)
	}
	if len(r.holders)+len(r.containers) != 0 {
		t.Errorf("left behind: %v %v", r.holders, r.containers)
	}
	s := r.Snapshot()
	for i := range shards {
		if len(s.endpoints.parts[i])+len(s.containers.parts[i]) != 0 {
			t.Error("endpoints or containers are left in the snapshot")
		}
	}
}

// TestRotated: each of those that have an alias comes first in its turn.
func TestRotated(t *testing.T) {
	r := sample()
	for i := range 3 {
		r.SetAttachment(Attachment{Name: fmt.Sprint("r", i), Network: "web", Names: []string{"many"}, Addresses: addrs(fmt.Sprint("10.1.0.10", i))})
	}
	h := newHandler(t, r)
	first := map[string]int{}
	for range 30 {
		m, _ := h.ask(t, "10.1.0.2", "many", dns.TypeA, nil)
		if len(m.Answer) != 3 {
			t.Fatalf("got %v", m.Answer)
		}
		first[m.Answer[0].(*dns.A).A.String()]++
	}
	for a, n := range first {
		if n != 10 {
			t.Errorf("%s was first %d times of 30", a, n)
		}
	}
}

// TestTruncated: what does not fit is left out, with the word to ask by TCP.
func TestTruncated(t *testing.T) {
	r := sample()
	const all = 100
	for i := range all {
		r.SetAttachment(Attachment{Name: fmt.Sprint("r", i), Network: "web", Names: []string{"many"}, Addresses: addrs(fmt.Sprint("10.1.0.", 100+i))})
	}
	h := newHandler(t, r)
	for size, want := range map[uint16]int{0: (512 - 12 - 10) / 16, 100: (512 - 12 - 10 - 11) / 16, 1232: (1232 - 12 - 10 - 11) / 16, 4096: (1232 - 12 - 10 - 11) / 16} {
		m, _ := h.ask(t, "10.1.0.2", "many", dns.TypeA, func(m *dns.Msg) {
			if size > 0 {
				m.SetEdns0(size, true)
			}
		})
		if len(m.Answer) != want || !m.Truncated {
			t.Errorf("size %d: %d answers, truncated %v, want %d", size, len(m.Answer), m.Truncated, want)
		}
		if opt := m.IsEdns0(); (opt != nil) != (size > 0) || opt != nil && (!opt.Do() || opt.UDPSize() != ednsSize) {
			t.Errorf("size %d: EDNS is %v", size, opt)
		}
	}
}

// TestOdd: requests that are not questions for names.
func TestOdd(t *testing.T) {
	h := newHandler(t, sample())
	for what, c := range map[string]struct {
		change func(*dns.Msg)
		want   int
	}{
		"EDNS version": {func(m *dns.Msg) {
			m.SetEdns0(1232, false)
			m.IsEdns0().SetVersion(1)
		}, dns.RcodeBadVers},
		"update": {func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, dns.RcodeNotImplemented},
		"class":  {func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, dns.RcodeRefused},
	} {
		m := new(dns.Msg).SetQuestion("web-1.", dns.TypeA)
		c.change(m)
		raw, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var q query
		out, _ := h.handle(&q, nil, raw, netip.MustParseAddr("10.1.0.2"), false, 0)
		answer := new(dns.Msg)
		if err := answer.Unpack(out); err != nil || answer.Rcode != c.want {
			t.Errorf("%s: got %v, %v", what, answer, err)
		}
	}
	for what, raw := range map[string][]byte{"empty": {}, "an answer": {0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0}} {
		var q query
		if out, p := h.handle(&q, nil, raw, netip.MustParseAddr("10.1.0.2"), false, 0); out != nil || p != nil {
			t.Errorf("%s: was answered", what)
		}
	}
}

// TestLimited: who asks too often is not answered, others are, and after a
// while it is again.
func TestLimited(t *testing.T) {
	var b bucket
	r := perSecond(10)
	passed := 0
	for range 100 {
		if b.allow(0, r) {
			passed++
		}
	}
	if passed != 10 {
		t.Errorf("%d of 100 passed at once, want 10", passed)
	}
	if !b.allow(int64(time.Second/10), r) || b.allow(int64(time.Second/10), r) {
		t.Error("after a tenth of a second one more may pass")
	}
	h := newHandler(t, sample())
	h.all = perSecond(3)
	h.start = time.Now()
	answered := 0
	for range 100 {
		if m, _ := h.ask(t, "10.1.0.2", "web_2", dns.TypeA, nil); m != nil {
			answered++
		}
	}
	if answered < 3 || answered > 20 { // time passes
		t.Errorf("%d of 100 were answered", answered)
	}
	if m, _ := h.ask(t, "10.1.0.3", "web_2", dns.TypeA, nil); m == nil {
		t.Error("another client suffers")
	}
}

// TestOutstanding: one client has so many questions asked of others at a time,
// and leaves room for another's.
func TestOutstanding(t *testing.T) {
	h := newHandler(t, sample())
	var waiting []*pending
	asks := func(from string, stream bool) (answer []byte, waits bool) {
		raw, err := new(dns.Msg).SetQuestion(fmt.Sprintf("x%d.example.com.", len(waiting)), dns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		var q query
		out, p := h.handle(&q, nil, raw, netip.MustParseAddr(from), stream, 0)
		if p != nil {
			waiting = append(waiting, p)
		}
		return out, p != nil
	}
	for i := range 2 * maxAsking {
		if answer, waits := asks("10.1.0.2", i%2 == 0); waits != (i < maxOutstanding) || answer != nil {
			t.Fatalf("question %d: answered %v, asked of others %v", i, answer, waits)
		}
	}
	if _, waits := asks("10.1.0.3", false); !waits {
		t.Error("another client's question is not asked of others")
	}
	if m, _ := h.ask(t, "10.1.0.2", "web_2", dns.TypeA, nil); m == nil {
		t.Error("its question for a name of ours is not answered")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.finish(ctx, nil, waiting[0])
	if _, waits := asks("10.1.0.2", false); !waits {
		t.Error("after one was answered no other is asked")
	}
	if _, waits := asks("10.1.0.2", false); waits {
		t.Error("after one was answered two others are asked")
	}
	// Where there is no room for anybody, it takes none from the client either.
	for len(h.asking) < maxAsking {
		h.asking <- struct{}{}
	}
	for range 2 * maxOutstanding {
		if answer, waits := asks("10.1.0.4", false); answer == nil || waits {
			t.Fatal("with all asking, a question did not fail")
		}
	}
	<-h.asking
	if _, waits := asks("10.1.0.4", false); !waits {
		t.Error("questions that were not asked count")
	}
}

// FuzzHandle: whatever comes, there is no panic, and an answer is one to the
// question.
func FuzzHandle(f *testing.F) {
	h := newHandler(f, sample())
	for _, name := range []string{"web-1.web.", "example.com.", "2.0.1.10.in-addr.arpa.", "."} {
		m := new(dns.Msg).SetQuestion(name, dns.TypeA)
		m.SetEdns0(1232, true)
		raw, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	from := netip.MustParseAddr("10.1.0.2")
	f.Fuzz(func(t *testing.T, raw []byte) {
		var q query
		out, p := h.handle(&q, nil, raw, from, false, 0)
		if p != nil {
			h.done(p)
			if string(p.query.question) != string(raw[headerLen:headerLen+len(p.query.question)]) {
				t.Error("another question is forwarded")
			}
			return
		}
		if out == nil {
			return
		}
		answer := new(dns.Msg)
		if err := answer.Unpack(out); err != nil {
			t.Fatalf("the answer cannot be read: %v", err)
		}
		if out[0] != raw[0] || out[1] != raw[1] || !answer.Response {
			t.Errorf("not an answer to it: %v", answer)
		}
	})
}

func FuzzEntry(f *testing.F) {
	m := new(dns.Msg).SetQuestion("example.com.", dns.TypeA)
	m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: []byte{192, 0, 2, 1}})
	raw, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	now := time.Now()
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := new(dns.Msg)
		if m.Unpack(raw) != nil || len(m.Question) != 1 {
			return
		}
		e, err := newEntry(m, now)
		if err != nil {
			return
		}
		var q query
		if drop, rcode := q.parse(question(cacheKey{question: wireName(e.msg[headerLen:])})); drop || rcode != 0 {
			return
		}
		if err := new(dns.Msg).Unpack(e.reply(nil, &q, maxTCP, now)); err != nil {
			t.Fatalf("the answer cannot be read: %v", err)
		}
	})
}

// BenchmarkHandle is an answer from the records.
func BenchmarkHandle(b *testing.B) {
	h := newHandler(b, sample())
	raw, err := new(dns.Msg).SetQuestion("web-1.web.", dns.TypeA).Pack()
	if err != nil {
		b.Fatal(err)
	}
	var q query
	out := make([]byte, 0, 4096)
	from := netip.MustParseAddr("10.1.0.3")
	b.ReportAllocs()
	for b.Loop() {
		if answer, _ := h.handle(&q, out, raw, from, false, 1); answer == nil {
			b.Fatal("no answer")
		}
	}
}

// BenchmarkChange is one more attachment where there are many.
func BenchmarkChange(b *testing.B) {
	for _, size := range []int{100, 10000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r := NewRecords()
			r.SetNetwork(net1("n", "n", "10.0.0.0/8"))
			at := func(i int) Attachment {
				a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
				return Attachment{Name: fmt.Sprint("a", i), Network: "n", Container: fmt.Sprint("id", i), Names: []string{fmt.Sprint("c", i)}, Addresses: []netip.Addr{a}}
			}
			for i := range size {
				r.SetAttachment(at(i))
			}
			more := at(size)
			b.ReportAllocs()
			for b.Loop() {
				r.SetAttachment(more)
				r.DeleteAttachment(more.Name)
			}
		})
	}
}
