// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vas-solutus/arca-network/internal/nettest"
)

// keep has the manager run and apply a state upon every event, as the
// controllers do. It returns a channel that tells of each Apply whether it wrote.
func (l *lab) keep(s State) <-chan bool {
	l.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	wake, applied, done := make(chan struct{}, 1), make(chan bool, 100), make(chan struct{})
	l.m.Subscribe(func(Event) {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-wake:
				changed, err := l.m.Apply(ctx, s)
				if err != nil && ctx.Err() == nil {
					l.t.Error(err)
				}
				select {
				case applied <- changed:
				default:
				}
			}
		}
	}()
	ended := make(chan error, 1)
	go func() { ended <- l.m.Run(ctx) }()
	l.t.Cleanup(func() {
		cancel()
		<-done
		if err := <-ended; err != nil {
			l.t.Error(err)
		}
	})
	return applied
}

// wrote waits for an Apply that wrote.
func wrote(t *testing.T, applied <-chan bool, why string) {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		select {
		case changed := <-applied:
			if changed {
				return
			}
		case <-limit:
			t.Fatalf("%s: nothing was put back", why)
		}
	}
}

// normal is the ruleset without handles and counters, in one order.
func normal(t *testing.T) string {
	return nettest.Run(t, "nft", "-s", "list", "table", "inet", "arca")
}

func TestEditsByHandArePutBack(t *testing.T) {
	l := newLab(t)
	s := natted(port(TCP, "0.0.0.0", 8080, web4, 80), port(TCP, "::", 8080, web6, 80))
	s.Routed = prefixes("10.90.0.0/16")
	applied := l.keep(s)
	wrote(t, applied, "the start")
	want := normal(t)
	handle := func(chain, rule string) string {
		for _, line := range strings.Split(nettest.Run(t, "nft", "-a", "list", "chain", "inet", "arca", chain), "\n") {
			if strings.Contains(line, rule) {
				return line[strings.LastIndex(line, " ")+1:]
			}
		}
		t.Fatalf("no rule %q in chain %s", rule, chain)
		return ""
	}
	for _, edit := range []string{
		"flush ruleset",
		"delete table inet arca",
		"flush table inet arca",
		"flush chain inet arca forward",
		"flush set inet arca masqueraded4",
		"flush map inet arca everywhere6",
		"delete element inet arca masqueraded4 { 10.88.0.0/24 }",
		"add element inet arca masqueraded4 { 192.0.2.0/24 }",
		"add element inet arca routed6 { 2001:db8::/32 }",
		"add element inet arca everywhere4 { tcp . 9999 : 10.88.0.2 . 22 }",
		"delete element inet arca everywhere4 { tcp . 8080 }",
		"add rule inet arca forward accept",
		"insert rule inet arca from_endpoints accept",
		"add chain inet arca more",
		"add set inet arca more { type ipv4_addr; }",
		"add table inet arca { flags dormant; }",
		"add chain inet arca input { policy drop; }",
		"delete rule inet arca from_endpoints handle HANDLE:from_endpoints:oifname \"uplink0\" drop",
		"replace rule inet arca from_endpoints handle HANDLE:from_endpoints:oifname \"uplink0\" drop:oifname \"uplink0\" accept",
		"replace rule inet arca postrouting handle HANDLE:postrouting:ip saddr @masqueraded4:oifname \"other\" ip saddr @masqueraded4 masquerade comment \"arca-network\"",
	} {
		t.Run(edit, func(t *testing.T) {
			if before, spec, found := strings.Cut(edit, "HANDLE:"); found {
				parts := strings.SplitN(spec, ":", 3)
				edit = before + handle(parts[0], parts[1])
				if len(parts) == 3 {
					edit += " " + parts[2]
				}
			}
			nettest.Run(t, "nft", edit)
			wrote(t, applied, edit)
			if got := normal(t); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
	// What it wrote itself makes it write nothing.
	for limit := time.After(time.Second); ; {
		select {
		case changed := <-applied:
			if changed {
				t.Error("it writes upon its own writes")
			}
			continue
		case <-limit:
		}
		break
	}
}

// TestEditBeforeOurWrite: what somebody changed just before a write of ours is
// put back, though the kernel tells of it only afterwards.
func TestEditBeforeOurWrite(t *testing.T) {
	l := newLab(t)
	s := natted(port(TCP, "0.0.0.0", 8080, web4, 80))
	l.apply(s, true)
	want := normal(t)
	l.apply(natted(), true)
	if l.m.outdated() {
		t.Error("it does not know its own write")
	}
	nettest.Run(t, "nft", "flush set inet arca masqueraded4")
	l.apply(s, true)
	if l.m.outdated() { // asked when the kernel's word of the edit comes
		if _, err := l.m.Apply(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if got := normal(t); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// TestConnectionsOutliveTheTable: the table is flushed, the manager is another,
// and connections go on.
func TestConnectionsOutliveTheTable(t *testing.T) {
	l := newLab(t)
	l.eps.Serve("tcp", "", 80, "eps")
	l.inet.Serve("tcp", "", 7000, "inet")
	s := natted(port(TCP, "0.0.0.0", 8080, web4, 80), port(TCP, "::", 8080, web6, 80))
	l.apply(s, true)
	both(t, func(t *testing.T, is6 bool) {
		out, err := l.eps.Dial("tcp", pick(is6, web4, web6), pick(is6, inet4, inet6), 7000, 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = out.Close() }()
		in, err := l.inet.Dial("tcp", "", pick(is6, host4, host6), 8080, 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = in.Close() }()
		both := func() {
			t.Helper()
			for _, c := range []*nettest.Client{out, in} {
				if got, err := c.Ask(2 * time.Second); err != nil {
					t.Errorf("%q, %v", got, err)
				}
			}
		}
		both()
		nettest.Run(t, "nft", "flush ruleset")
		l.m = l.manager()
		l.apply(s, true)
		both()
		l.m = l.manager()
		l.apply(s, false)
		both()
	})
}

// TestFlushedWhileTheyBegan: a flow that began while there was no table is not
// what the table says, and is made so.
func TestFlushedWhileTheyBegan(t *testing.T) {
	l := newLab(t)
	l.inet.Serve("udp", inet4, 7000, "inet")
	l.apply(natted(), true)
	l.inet.IP("route add 10.88.0.0/24 via " + host4)
	nettest.Run(t, "nft", "flush ruleset")
	c, err := l.eps.Dial("udp", web4, inet4, 7000, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if got, err := c.Ask(time.Second); got != "inet "+web4 {
		t.Fatalf("without a table: %q, %v", got, err)
	}
	l.m = l.manager()
	l.apply(natted(), true)
	if got, err := c.Ask(time.Second); got != "inet "+host4 {
		t.Errorf("with the table again: %q, %v", got, err)
	}
}

// foreign is what others have beside us: in the manner of Docker (ip, with
// nftables' iptables), firewalld (inet) and ufw (ip and ip6).
const foreign = `
table ip filter {
	chain DOCKER-USER { counter return; }
	chain FORWARD { type filter hook forward priority filter; policy drop; counter jump DOCKER-USER; }
}
table ip nat {
	chain DOCKER { iifname "docker0" counter return; iifname != "docker0" tcp dport 9000 counter dnat to 172.17.0.2:80; }
	chain PREROUTING { type nat hook prerouting priority dstnat; policy accept; fib daddr type local counter jump DOCKER; }
	chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; oifname != "docker0" ip saddr 172.17.0.0/16 counter masquerade; }
}
table inet firewalld {
	set trusted { type ipv4_addr; flags interval; elements = { 192.0.2.0/24 }; }
	chain filter_INPUT { type filter hook input priority filter + 10; policy accept; ct state { established, related } accept; ip saddr @trusted accept; }
	chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept; ct state { established, related } accept; }
}
table ip6 filter {
	chain ufw6-before-forward { icmpv6 type echo-request accept; }
	chain FORWARD { type filter hook forward priority filter; policy accept; jump ufw6-before-forward; }
}
table inet arcade {
	chain c { counter drop; }
}
`

func TestTablesOfOthersSurvive(t *testing.T) {
	l := newLab(t)
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(foreign, " }", "\n}"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	others := func() string {
		var b strings.Builder
		for _, table := range []string{"ip filter", "ip nat", "inet firewalld", "ip6 filter", "inet arcade"} {
			b.WriteString(nettest.Run(t, "nft", append([]string{"-a", "list", "table"}, strings.Fields(table)...)...))
		}
		return b.String()
	}
	before := others()
	l.apply(natted(port(TCP, "0.0.0.0", 8080, web4, 80)), true)
	l.apply(natted(), true)
	nettest.Run(t, "nft", "delete table inet arca")
	l.m.forget()
	l.apply(natted(), true)
	l.inet.Serve("udp", inet4, 7000, "inet")
	if obstacles, err := l.m.Obstacles(); err != nil || strings.Join(obstacles, ",") != "ip filter FORWARD" {
		t.Errorf("obstacles: %v, %v", obstacles, err)
	}
	if err := l.m.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out := nettest.Run(t, "nft", "list tables"); strings.Contains(out, "inet arca\n") {
		t.Errorf("the table is left: %s", out)
	}
	if err := l.m.Remove(t.Context()); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
	if after := others(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
