// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"

	"github.com/vas-solutus/arca-network/pkg/vnet/internal/ovstest"
)

func TestMain(m *testing.M) { ovstest.Isolate(m) }

// leakCheck fails the test if, after everything was stopped, goroutines, file
// descriptors or links of the host are left that were not there before.
func leakCheck(t testing.TB) {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	fds, links := countFDs(t), linkNames(t)
	t.Cleanup(func() {
		if err := goleak.Find(ignore); err != nil {
			t.Errorf("goroutines leaked: %v", err)
		}
		if now := countFDs(t); now > fds {
			t.Errorf("file descriptors leaked: %d before, %d after", fds, now)
		}
		deadline := time.Now().Add(5 * time.Second) // ovs-vswitchd was killed: its taps persist, see below
		for {
			var left []string
			for name := range linkNames(t) {
				if _, before := links[name]; !before {
					left = append(left, name)
				}
			}
			if len(left) == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("links leaked: %v", left)
				return
			}
			time.Sleep(10 * time.Millisecond) // removal of a namespace's links is asynchronous
		}
	})
}

func countFDs(t testing.TB) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// linkNames are the links of the host, without those that ovs-vswitchd makes
// for itself and leaves when it is killed.
func linkNames(t testing.TB) map[string]struct{} {
	t.Helper()
	ls, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]struct{}{}
	for _, l := range ls {
		if n := l.Attrs().Name; n != "br-int" && n != "ovs-netdev" {
			out[n] = struct{}{}
		}
	}
	return out
}

// host is a machine with OVS and a Manager.
type host struct {
	*ovstest.OVS
	t      testing.TB
	m      *Manager
	events *recorder
	stop   func()
}

// newHost starts OVS with userspace TSO and a Manager.
func newHost(t testing.TB) *host {
	t.Helper()
	leakCheck(t)
	return onHost(t, ovstest.Start(t, true))
}

// onHost starts a Manager and waits for its connection and for the bridge.
func onHost(t testing.TB, o *ovstest.OVS) *host {
	t.Helper()
	h := manage(t, o)
	h.eventually(func() error {
		if err := h.m.Check(context.Background()); err != nil {
			return err
		}
		if tso := strings.Contains(h.Vsctl("get", "Open_vSwitch", ".", "other_config"), `"true"`); tso != h.m.Info().TSO {
			return fmt.Errorf("TSO not seen yet")
		}
		return nil
	})
	return h
}

// manage starts a Manager and waits for its connection.
func manage(t testing.TB, o *ovstest.OVS) *host {
	t.Helper()
	m, err := New(Options{OVSSocket: o.Socket, Log: testr.NewWithInterface(t, testr.Options{}), Timeout: 5 * time.Second, Resync: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	h := &host{OVS: o, t: t, m: m, events: &recorder{t: t, wake: make(chan struct{}, 1)}}
	m.Subscribe(h.events.add)
	ctx, cancel := context.WithCancel(context.Background())
	res := make(chan error, 1)
	go func() { res <- m.Run(ctx) }()
	var once sync.Once
	h.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-res; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(h.stop)
	h.events.wait(Event{All: true, Reason: Connected})
	return h
}

func (h *host) eventually(check func() error) { h.t.Helper(); h.Eventually(check) }

// update makes the port and fails the test if it cannot.
func (h *host) update(p Port) State {
	h.t.Helper()
	st, err := h.m.Update(context.Background(), p)
	if err != nil {
		h.t.Fatalf("Update: %v", err)
	}
	return st
}

func (h *host) delete(uid string) {
	h.t.Helper()
	if err := h.m.Delete(context.Background(), uid); err != nil {
		h.t.Fatalf("Delete: %v", err)
	}
}

// quiet runs fn and fails if it made the Manager send a transaction.
func (h *host) quiet(what string, fn func()) {
	h.t.Helper()
	before := h.m.transactions.Load()
	fn()
	if n := h.m.transactions.Load() - before; n != 0 {
		h.t.Errorf("%s: %d transactions, want none", what, n)
	}
}

// ready waits until ovs-vswitchd has the port.
func (h *host) ready(p Port) {
	h.t.Helper()
	h.eventually(func() error {
		st, found, err := h.m.State(p.Owner.UID)
		if err != nil || !found || st.OFPort == 0 {
			return fmt.Errorf("state %+v, found %v, error %v", st, found, err)
		}
		return nil
	})
}

// recorder keeps the events.
type recorder struct {
	t    testing.TB
	mu   sync.Mutex
	seen []Event
	wake chan struct{}
}

func (r *recorder) add(ev Event) {
	r.mu.Lock()
	r.seen = append(r.seen, ev)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// wait returns when the event was seen, and forgets it and what came before.
func (r *recorder) wait(want Event) {
	r.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		r.mu.Lock()
		for i, ev := range r.seen {
			if ev == want {
				r.seen = append([]Event(nil), r.seen[i+1:]...)
				r.mu.Unlock()
				return
			}
		}
		got := fmt.Sprint(r.seen)
		r.mu.Unlock()
		select {
		case <-r.wake:
		case <-deadline:
			r.t.Fatalf("no event %+v within 10 s; seen: %s", want, got)
		}
	}
}

// take returns all events so far and forgets them.
func (r *recorder) take() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.seen
	r.seen = nil
	return out
}

// vethPort is port number n, in the namespace of that path.
func vethPort(n int, path string) Port {
	uid := fmt.Sprintf("uid-%d", n)
	return Port{
		Owner: Owner{Kind: "Attachment", Name: fmt.Sprintf("port-%d", n), UID: uid}, Type: Veth,
		Name: fmt.Sprintf("av%d", n), IfaceID: "lsp-" + uid, Netns: path, InnerName: "eth0",
		MAC:       net.HardwareAddr{2, 0, 0, 0, byte(n >> 8), byte(n)},
		Addresses: []netip.Prefix{netip.MustParsePrefix(ip4(n) + "/16"), netip.MustParsePrefix(ip6(n) + "/64")},
		Routes: []Route{
			{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.1.255.254")},
			{Dst: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("fd00::ffff:1")},
		},
		MTU: 1400,
	}
}

func ip4(n int) string { return fmt.Sprintf("10.1.%d.%d", n>>8, n&255) }
func ip6(n int) string { return fmt.Sprintf("fd00::%x", n) }

// talk sends a megabyte over TCP from one namespace to another: it passes only
// with right addresses, a living datapath and right checksums.
func talk(t testing.TB, from, to *ovstest.Netns, addr string) error {
	t.Helper()
	const size = 1 << 20
	var l net.Listener
	to.Do(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(addr, "0"))
		return err
	})
	defer func() { _ = l.Close() }()
	// Both ends are reset at the end: a socket that still waits for an answer
	// would keep its namespace alive for minutes.
	got := make(chan int64, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			got <- -1
			return
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		n, _ := io.Copy(io.Discard, c)
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
		got <- n
	}()
	var c net.Conn
	var err error
	from.Do(func() error {
		c, err = net.DialTimeout("tcp", l.Addr().String(), 3*time.Second)
		return nil
	})
	if err != nil {
		_ = l.Close()
		<-got
		return err
	}
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, err = c.Write(make([]byte, size))
	_ = c.(*net.TCPConn).CloseWrite()
	n := <-got
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
	if n != size {
		return fmt.Errorf("%d of %d bytes arrived; writing: %v", n, size, err)
	}
	return nil
}

// mustTalk tries a few times: ovs-vswitchd may be about to take a port in.
func (h *host) mustTalk(from, to *ovstest.Netns, addr string) {
	h.t.Helper()
	h.eventually(func() error { return talk(h.t, from, to, addr) })
}

// inner describes the interface inside a namespace for comparison.
func inner(t testing.TB, n *ovstest.Netns, name string) string {
	t.Helper()
	h := n.Handle()
	l, err := h.LinkByName(name)
	if err != nil {
		return err.Error()
	}
	a := l.Attrs()
	s := fmt.Sprintf("%s mac=%s mtu=%d up=%v", a.Name, a.HardwareAddr, a.MTU, a.Flags&net.FlagUp != 0)
	addrs, err := h.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if !a.IP.IsLinkLocalUnicast() {
			s += " " + a.IPNet.String()
		}
	}
	for _, f := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := h.RouteList(l, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range routes {
			if r.Gw != nil {
				s += fmt.Sprintf(" %s>%s", r.Dst, r.Gw)
			}
		}
	}
	return s
}

// innerWant is what inner returns for a port of vethPort.
func innerWant(p Port) string {
	s := fmt.Sprintf("%s mac=%s mtu=%d up=true", p.InnerName, p.MAC, p.MTU)
	for _, a := range p.Addresses {
		s += " " + a.String()
	}
	for _, r := range p.Routes {
		s += fmt.Sprintf(" %s>%s", r.Dst, r.Via)
	}
	return s
}

func (h *host) checkInner(n *ovstest.Netns, p Port) {
	h.t.Helper()
	if got, want := inner(h.t, n, p.InnerName), innerWant(p); got != want {
		h.t.Errorf("inside %s:\n got %s\nwant %s", n.Path, got, want)
	}
}

func mustLink(t testing.TB, n *ovstest.Netns, name string) netlink.Link {
	t.Helper()
	l, err := n.Handle().LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
