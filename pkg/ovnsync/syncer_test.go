// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnsync_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"golang.org/x/sync/errgroup"

	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
)

func TestMain(m *testing.M) { ovntest.Main(m) }

// fixture is a syncer on a real northbound database.
type fixture struct {
	*ovnsync.Syncer
	options ovnd.Options
	stack   *ovnd.Stack

	mu     sync.Mutex
	events []ovnsync.Event
	notify chan struct{}
}

func start(t testing.TB) *fixture {
	t.Helper()
	log := logr.Discard()
	if tt, ok := t.(*testing.T); ok {
		log = testr.New(tt)
	}
	f := &fixture{options: ovntest.Options(t, log), notify: make(chan struct{}, 1)}
	f.stack = ovntest.Start(t, f.options)
	f.Syncer = f.syncer(t, log)
	f.await(t, func(e ovnsync.Event) bool { return e.All })
	return f
}

// syncer starts one more syncer, which ends with the test.
func (f *fixture) syncer(t testing.TB, log logr.Logger) *ovnsync.Syncer {
	t.Helper()
	s, err := ovnsync.New(ovnsync.Options{Endpoint: f.stack.Endpoints().NB, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s.Subscribe(func(e ovnsync.Event) {
		f.mu.Lock()
		f.events = append(f.events, e)
		f.mu.Unlock()
		select {
		case f.notify <- struct{}{}:
		default:
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

// await waits for an event, and forgets all up to it.
func (f *fixture) await(t testing.TB, is func(ovnsync.Event) bool) ovnsync.Event {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		f.mu.Lock()
		for i, e := range f.events {
			if is(e) {
				f.events = f.events[i+1:]
				f.mu.Unlock()
				return e
			}
		}
		f.mu.Unlock()
		select {
		case <-f.notify:
		case <-limit:
			t.Fatal("the event did not come")
		}
	}
}

// nothing fails where an event has come that was not forgotten.
func (f *fixture) nothing(t testing.TB) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if strings.HasPrefix(e.Reason, "up ") {
			continue // northd's doing
		}
		t.Errorf("unexpected event %+v", e)
	}
}

func network(name string) ovnsync.Owner {
	return ovnsync.Owner{Kind: "Network", Name: name, UID: "uid-" + name}
}

func attachment(name string) ovnsync.Owner {
	return ovnsync.Owner{Kind: "Attachment", Name: name, UID: "uid-" + name}
}

func switchRow(name string) []ovnsync.Row {
	return []ovnsync.Row{{ID: "network/" + name, Model: &nbdb.LogicalSwitch{Name: name}, Columns: []string{"name"}}}
}

func portRow(network, name string) []ovnsync.Row {
	return []ovnsync.Row{{
		ID:      "attachment/" + name,
		Model:   &nbdb.LogicalSwitchPort{Name: name, Addresses: []string{"02:00:00:00:00:01 10.0.0.2"}},
		Columns: []string{"name", "type", "addresses"},
		Members: []ovnsync.Member{{Table: nbdb.LogicalSwitchTable, ID: "network/" + network, Column: "ports"}},
	}}
}

func must(t testing.TB, want bool) func(bool, error) {
	return func(changed bool, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if changed != want {
			t.Fatalf("changed = %v, want %v", changed, want)
		}
	}
}

func TestUpdateDelete(t *testing.T) {
	f, ctx := start(t), t.Context()
	var missing *ovnsync.MissingParentError
	if _, err := f.Update(ctx, attachment("p1"), portRow("n1", "p1")); !errors.As(err, &missing) || missing.ID != "network/n1" {
		t.Fatalf("port without its switch: got %v", err)
	}
	must(t, true)(f.Update(ctx, network("n1"), switchRow("n1")))
	must(t, false)(f.Update(ctx, network("n1"), switchRow("n1")))
	must(t, true)(f.Update(ctx, attachment("p1"), portRow("n1", "p1")))
	must(t, false)(f.Update(ctx, attachment("p1"), portRow("n1", "p1")))
	if _, found, err := f.PortUp("p1"); !found || err != nil {
		t.Errorf("port p1: found %v, %v", found, err)
	}
	// Our own changes are no events.
	f.nothing(t)
	must(t, true)(f.Delete(ctx, attachment("p1")))
	must(t, false)(f.Delete(ctx, attachment("p1")))
	if _, found, _ := f.PortUp("p1"); found {
		t.Error("port p1 is still there")
	}
	must(t, true)(f.Delete(ctx, network("n1")))
	f.nothing(t)
}

// TestMembers: values in a shared set come and go with their declaring row.
func TestMembers(t *testing.T) {
	f, ctx := start(t), t.Context()
	set := []ovnsync.Row{{ID: "subnets", Model: &nbdb.AddressSet{Name: "subnets"}, Columns: []string{"name"}}}
	must(t, true)(f.Update(ctx, network("shared"), set))
	with := func(cidr string) []ovnsync.Row {
		rows := switchRow("n1")
		rows[0].Members = []ovnsync.Member{{Table: nbdb.AddressSetTable, ID: "subnets", Column: "addresses", Value: cidr}}
		return rows
	}
	must(t, true)(f.Update(ctx, network("n1"), with("10.0.0.0/24")))
	must(t, false)(f.Update(ctx, network("n1"), with("10.0.0.0/24")))
	must(t, true)(f.Update(ctx, network("n1"), with("10.0.1.0/24")))
	if got := f.tool(t, "ovn-nbctl", "get", "Address_Set", "subnets", "addresses"); got != `["10.0.1.0/24"]` {
		t.Errorf("addresses = %s", got)
	}
	f.nothing(t)
	f.tool(t, "ovn-nbctl", "set", "Address_Set", "subnets", `addresses=["10.0.1.0/24","10.66.0.0/16"]`)
	limit := time.Now().Add(10 * time.Second)
	for n := 0; n != 1; { // the edit is on its way to the syncer
		var err error
		if n, err = f.Prune(ctx, func(ovnsync.Owner) bool { return true }); err != nil || time.Now().After(limit) {
			t.Fatalf("Prune = %d, %v, want the stray value gone", n, err)
		}
	}
	f.tool(t, "ovn-nbctl", "clear", "Address_Set", "subnets", "addresses")
	f.await(t, func(e ovnsync.Event) bool { return e.All })
	must(t, true)(f.Update(ctx, network("n1"), with("10.0.1.0/24")))
	must(t, true)(f.Delete(ctx, network("n1")))
	if got := f.tool(t, "ovn-nbctl", "get", "Address_Set", "subnets", "addresses"); got != `[]` {
		t.Errorf("addresses = %s", got)
	}
}

func (f *fixture) tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := ovnd.Tool(t.Context(), f.options, name, append([]string{"--db=" + f.stack.Endpoints().NB}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestOptional: a value behind a pointer is compared as a value.
func TestOptional(t *testing.T) {
	f, ctx := start(t), t.Context()
	rows := func(protocol string) []ovnsync.Row {
		return []ovnsync.Row{{ID: "lb", Model: &nbdb.LoadBalancer{Name: "lb", Protocol: &protocol}, Columns: []string{"name", "protocol"}}}
	}
	must(t, true)(f.Update(ctx, network("n1"), rows("tcp")))
	must(t, false)(f.Update(ctx, network("n1"), rows("tcp")))
	f.tool(t, "ovn-nbctl", "set", "Load_Balancer", "lb", "external_ids:theirs=yes")
	f.tool(t, "ovn-nbctl", "set", "Load_Balancer", "lb", "protocol=udp")
	f.await(t, func(e ovnsync.Event) bool { return e.Owner == network("n1") })
	f.nothing(t)
	must(t, true)(f.Update(ctx, network("n1"), rows("tcp")))
	f.nothing(t)
}

// TestReferences: a column refers to another owner's row once that is there,
// also after somebody took the reference or the row away.
func TestReferences(t *testing.T) {
	f, ctx := start(t), t.Context()
	with := func(id string) []ovnsync.Row {
		rows := portRow("n1", "p1")
		rows[0].References = []ovnsync.ColumnReference{{Column: "dhcpv4_options", Table: nbdb.DHCPOptionsTable, ID: id}}
		return rows
	}
	options := []ovnsync.Row{{ID: "dhcp", Model: &nbdb.DHCPOptions{Cidr: "10.0.0.0/24"}, Columns: []string{"cidr"}}}
	refers := func(want bool) {
		t.Helper()
		if got := f.tool(t, "ovn-nbctl", "get", "Logical_Switch_Port", "p1", "dhcpv4_options"); (got != "[]") != want {
			t.Errorf("dhcpv4_options = %s", got)
		}
	}
	must(t, true)(f.Update(ctx, network("n1"), switchRow("n1")))
	must(t, true)(f.Update(ctx, attachment("p1"), with("dhcp")))
	refers(false)
	must(t, true)(f.Update(ctx, network("options"), options))
	must(t, true)(f.Update(ctx, attachment("p1"), with("dhcp")))
	must(t, false)(f.Update(ctx, attachment("p1"), with("dhcp")))
	refers(true)
	f.nothing(t)
	f.tool(t, "ovn-nbctl", "clear", "Logical_Switch_Port", "p1", "dhcpv4_options")
	f.await(t, func(e ovnsync.Event) bool { return e.Owner == attachment("p1") && strings.HasPrefix(e.Reason, "a row") })
	must(t, true)(f.Update(ctx, attachment("p1"), with("dhcp")))
	refers(true)
	must(t, true)(f.Delete(ctx, network("options"))) // takes the reference along
	refers(false)
	must(t, true)(f.Update(ctx, network("options"), options))
	must(t, true)(f.Update(ctx, attachment("p1"), with("dhcp")))
	refers(true)
	must(t, true)(f.Update(ctx, attachment("p1"), with("")))
	must(t, false)(f.Update(ctx, attachment("p1"), with("")))
	refers(false)
}

// TestForeign: rows of others are never touched, edits of ours are reported
// and put back.
func TestForeign(t *testing.T) {
	f, ctx := start(t), t.Context()
	f.tool(t, "ovn-nbctl", "ls-add", "theirs", "--", "lsp-add", "theirs", "their-port")
	must(t, true)(f.Update(ctx, network("n1"), switchRow("n1")))
	must(t, true)(f.Update(ctx, attachment("p1"), portRow("n1", "p1")))
	for _, c := range []struct {
		what  string
		args  []string
		owner ovnsync.Owner
	}{
		{"a column", []string{"set", "Logical_Switch_Port", "p1", `addresses="unknown"`}, attachment("p1")},
		{"a key", []string{"remove", "Logical_Switch_Port", "p1", "external_ids", "arca-row"}, attachment("p1")},
		{"the port", []string{"lsp-del", "p1"}, attachment("p1")},
		{"the name", []string{"set", "Logical_Switch", "n1", "name=other"}, network("n1")},
		{"the switch", []string{"ls-del", "n1"}, network("n1")},
	} {
		t.Run(c.what, func(t *testing.T) {
			f.tool(t, "ovn-nbctl", c.args...)
			f.await(t, func(e ovnsync.Event) bool { return e.Owner == c.owner && strings.HasPrefix(e.Reason, "a row") })
			if c.owner.Kind == "Network" {
				must(t, true)(f.Update(ctx, network("n1"), switchRow("n1")))
			}
			if _, err := f.Update(ctx, attachment("p1"), portRow("n1", "p1")); err != nil {
				t.Fatal(err)
			}
			must(t, false)(f.Update(ctx, network("n1"), switchRow("n1")))
			must(t, false)(f.Update(ctx, attachment("p1"), portRow("n1", "p1")))
			if got := f.tool(t, "ovn-nbctl", "--bare", "--columns=name", "find", "Logical_Switch", "name=n1"); got != "n1" {
				t.Errorf("switch n1 = %q", got)
			}
		})
	}
	// A column that we do not own is left alone.
	f.tool(t, "ovn-nbctl", "set", "Logical_Switch_Port", "p1", "options:theirs=yes")
	must(t, false)(f.Update(ctx, attachment("p1"), portRow("n1", "p1")))
	if n, err := f.Prune(ctx, func(ovnsync.Owner) bool { return false }); err != nil || n != 2 {
		t.Errorf("Prune = %d, %v, want 2 rows", n, err)
	}
	if got := f.tool(t, "ovn-nbctl", "--bare", "--columns=name", "list", "Logical_Switch_Port"); got != "their-port" {
		t.Errorf("ports left: %q", got)
	}
}

// TestBadChangeFailsAlone: one that the database refuses does not take along
// those that share its transaction.
// TestCrowd sees that callers who share transactions let OVN catch up in between,
// and that those who are alone, or restore everything, do not ask it.
func TestCrowd(t *testing.T) {
	f := start(t)
	s := f.Syncer
	marks := func() string { return f.tool(t, "ovn-nbctl", "get", "NB_Global", ".", "nb_cfg") }
	before := marks()
	must(t, true)(s.Update(t.Context(), network("alone"), switchRow("alone")))
	var all []ovnsync.Owned
	for i := range 300 {
		name := fmt.Sprintf("all-%d", i)
		all = append(all, ovnsync.Owned{Owner: network(name), Rows: switchRow(name)})
	}
	if err := s.UpdateAll(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if now := marks(); now != before {
		t.Errorf("nb_cfg went from %s to %s: who was alone, or restored, has asked for OVN", before, now)
	}
	var g errgroup.Group
	for i := range 300 {
		name := fmt.Sprintf("crowd-%d", i)
		g.Go(func() error {
			_, err := s.Update(t.Context(), network(name), switchRow(name))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(f.tool(t, "ovn-nbctl", "--bare", "--columns=name", "list", "Logical_Switch"), "-"); got < 600 {
		t.Errorf("%d switches of 600", got)
	}
	if now := marks(); now == before {
		t.Errorf("nb_cfg is %s still: nobody waited for OVN", now)
	}
}

func TestBadChangeFailsAlone(t *testing.T) {
	f, ctx := start(t), t.Context()
	f.tool(t, "ovn-nbctl", "ls-add", "theirs", "--", "lsp-add", "theirs", "p7")
	must(t, true)(f.Update(ctx, network("n1"), switchRow("n1")))
	var wg sync.WaitGroup
	errs := make([]error, 50)
	for i := range errs {
		wg.Go(func() {
			name := fmt.Sprint("p", i)
			_, errs[i] = f.Update(ctx, attachment(name), portRow("n1", name))
		})
	}
	wg.Wait()
	for i, err := range errs {
		if (err != nil) != (i == 7) {
			t.Errorf("port %d: %v", i, err)
		}
	}
}

// TestServerDies: while the database is away every call says so at once, and
// when it is back, filled or empty, everybody is asked again.
func TestServerDies(t *testing.T) {
	f, ctx := start(t), t.Context()
	must(t, true)(f.Update(ctx, network("n1"), switchRow("n1")))
	for _, wipe := range []bool{false, true} {
		t.Run(fmt.Sprint("wiped ", wipe), func(t *testing.T) {
			f.crash(t, wipe)
			f.await(t, func(e ovnsync.Event) bool { return e.All })
			changed, err := f.Update(ctx, network("n1"), switchRow("n1"))
			if err != nil || changed != wipe {
				t.Errorf("Update = %v, %v", changed, err)
			}
		})
	}
}

func BenchmarkUpdate(b *testing.B) {
	for _, size := range []int{100, 10000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f, ctx := start(b), context.Background()
			fill(b, f, size)
			b.Run("one more port", func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					name := fmt.Sprint("more", i)
					if _, err := f.Update(ctx, attachment(name), portRow("n0", name)); err != nil {
						b.Fatal(err)
					}
					if _, err := f.Delete(ctx, attachment(name)); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("nothing to do", func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					n := i % size
					name := fmt.Sprint("p", n)
					must(b, false)(f.Update(ctx, attachment(name), portRow(fmt.Sprint("n", n/10), name)))
				}
			})
		})
	}
}

// fill makes size ports, ten to a switch, from 64 callers at once.
func fill(b testing.TB, f *fixture, size int) {
	from := time.Now()
	work := make(chan int)
	var wg sync.WaitGroup
	for i := range size / 10 {
		must(b, true)(f.Update(context.Background(), network(fmt.Sprint("n", i)), switchRow(fmt.Sprint("n", i))))
	}
	switches := time.Since(from)
	from = time.Now()
	for range 64 {
		wg.Go(func() {
			for n := range work {
				name := fmt.Sprint("p", n)
				if _, err := f.Update(context.Background(), attachment(name), portRow(fmt.Sprint("n", n/10), name)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for n := range size {
		work <- n
	}
	close(work)
	wg.Wait()
	b.Logf("%d switches one by one in %v; %d ports by 64 callers in %v: %.0f/s", size/10, switches, size, time.Since(from), float64(size)/time.Since(from).Seconds())
}

// crash ends ovsdb-server the hard way, and empties the northbound database
// before it is started again.
func (f *fixture) crash(t testing.TB, wipe bool) {
	t.Helper()
	if wipe {
		if err := os.Remove(filepath.Join(f.options.Dir, "nb.db")); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range f.stack.Components() {
		if c.Name == "ovsdb-server" {
			if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestSharedValue: a value that two rows declare stays in the set until both are gone,
// one that moves from one owner to another stays, and one that is declared while
// strays are taken out does, too.
func TestSharedValue(t *testing.T) {
	f, ctx := start(t), t.Context()
	set := []ovnsync.Row{{ID: "sel", Model: &nbdb.AddressSet{Name: "sel"}, Columns: []string{"name"}}}
	must(t, true)(f.Update(ctx, network("shared"), set))
	with := func(name string, values ...string) []ovnsync.Row {
		rows := switchRow(name)
		for _, v := range values {
			rows[0].Members = append(rows[0].Members, ovnsync.Member{Table: nbdb.AddressSetTable, ID: "sel", Column: "addresses", Value: v})
		}
		return rows
	}
	holds := func(want string) {
		t.Helper()
		if got := f.tool(t, "ovn-nbctl", "get", "Address_Set", "sel", "addresses"); got != want {
			t.Fatalf("addresses = %s, want %s", got, want)
		}
	}
	must(t, true)(f.Update(ctx, network("n1"), with("n1", "169.254.1.1", "169.254.1.10")))
	must(t, true)(f.Update(ctx, network("n2"), with("n2", "169.254.1.1")))
	must(t, true)(f.Update(ctx, network("n1"), with("n1", "169.254.1.10")))
	holds(`["169.254.1.1", "169.254.1.10"]`)
	must(t, true)(f.Delete(ctx, network("n1")))
	holds(`["169.254.1.1"]`)
	must(t, true)(f.Delete(ctx, network("n2")))
	holds(`[]`)

	// In one transaction, whoever comes first: while the first mark is under way the
	// others queue up.
	for i := range 20 {
		value := fmt.Sprintf("169.254.2.%d", i+1)
		from, to := fmt.Sprintf("from%d", i), fmt.Sprintf("to%d", i)
		must(t, true)(f.Update(ctx, network(from), with(from, value)))
		var g errgroup.Group
		g.Go(func() error { _, err := f.Mark(ctx); return err })
		g.Go(func() error { _, err := f.Delete(ctx, network(from)); return err })
		g.Go(func() error { _, err := f.Update(ctx, network(to), with(to, value)); return err })
		g.Go(func() error { _, err := f.Prune(ctx, func(ovnsync.Owner) bool { return true }); return err })
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		holds(`["` + value + `"]`)
		must(t, true)(f.Delete(ctx, network(to)))
		f.tool(t, "ovn-nbctl", "set", "Address_Set", "sel", `addresses=["`+value+`"]`)
		must(t, true)(f.Update(ctx, network(from), with(from)))
		g.Go(func() error { _, err := f.Mark(ctx); return err })
		g.Go(func() error { _, err := f.Prune(ctx, func(ovnsync.Owner) bool { return true }); return err })
		g.Go(func() error { _, err := f.Update(ctx, network(to), with(to, value)); return err })
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		holds(`["` + value + `"]`)
		must(t, true)(f.Delete(ctx, network(to)))
		must(t, true)(f.Delete(ctx, network(from)))
	}
}

// TestMadeAgainWithinARound: what is deleted by hand, and what its owner gives up for
// a moment, is made again in the southbound database as well, however late
// ovn-northd looks.
func TestMadeAgainWithinARound(t *testing.T) {
	f, ctx := start(t), t.Context()
	rows := func() []ovnsync.Row {
		protocol := "tcp"
		return append(switchRow("n1"), ovnsync.Row{
			ID:      "lb",
			Model:   &nbdb.LoadBalancer{Name: "lb", Protocol: &protocol, Vips: map[string]string{"10.9.9.9:80": "10.0.0.2:80"}},
			Columns: []string{"name", "protocol", "vips"},
			Members: []ovnsync.Member{{Table: nbdb.LogicalSwitchTable, ID: "network/n1", Column: "load_balancer"}},
		})
	}
	settled := func() {
		t.Helper()
		mark, err := f.Mark(ctx)
		if err != nil {
			t.Fatal(err)
		}
		within, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		if err := mark.Wait(within); err != nil {
			t.Fatal(err)
		}
		db := "--db=" + f.stack.Endpoints().SB
		if out, err := ovnd.Tool(ctx, f.options, "ovn-sbctl", db, "--bare", "--columns=name", "list", "Load_Balancer"); err != nil || strings.TrimSpace(out) != "lb" {
			t.Errorf("the southbound database has load balancers %q, %v", out, err)
		}
		if out, err := ovnd.Tool(ctx, f.options, "ovn-sbctl", db, "lflow-list", "n1"); err != nil || !strings.Contains(out, "10.9.9.9") {
			t.Errorf("no flow of the load balancer, %v", err)
		}
	}
	must(t, true)(f.Update(ctx, network("n1"), rows()))
	settled()
	var northd int
	for _, c := range f.stack.Components() {
		if c.Name == "ovn-northd" {
			northd = c.PID
		}
	}
	signal := func(s syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(northd, s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	defer signal(syscall.SIGCONT)
	f.tool(t, "ovn-nbctl", "lb-del", "lb")
	f.await(t, func(e ovnsync.Event) bool { return strings.HasSuffix(e.Reason, "was deleted") })
	must(t, true)(f.Update(ctx, network("n1"), rows()))
	signal(syscall.SIGCONT)
	settled()

	signal(syscall.SIGSTOP)
	must(t, true)(f.Update(ctx, network("n1"), rows()[:1]))
	must(t, true)(f.Update(ctx, network("n1"), rows()))
	signal(syscall.SIGCONT)
	settled()
}

// TestRowsComeBackTheSame: a row that is lost, by hand or with its database, has its
// UUID again, by which OVN knows it, and it is known by that where its keys are lost.
func TestRowsComeBackTheSame(t *testing.T) {
	f, ctx := start(t), t.Context()
	uuids := func() string {
		return f.tool(t, "ovn-nbctl", "--bare", "--columns=_uuid", "list", "Logical_Switch") + " " +
			f.tool(t, "ovn-nbctl", "--bare", "--columns=_uuid", "list", "Logical_Switch_Port")
	}
	update := func() {
		t.Helper()
		must(t, true)(f.Update(ctx, network("n1"), switchRow("n1")))
		must(t, true)(f.Update(ctx, attachment("p1"), portRow("n1", "p1")))
	}
	update()
	was := uuids()
	f.tool(t, "ovn-nbctl", "ls-del", "n1")
	gone := map[ovnsync.Owner]bool{}
	f.await(t, func(e ovnsync.Event) bool {
		if strings.HasSuffix(e.Reason, "was deleted") {
			gone[e.Owner] = true
		}
		return len(gone) == 2
	})
	update()
	if now := uuids(); now != was {
		t.Errorf("after they were deleted by hand rows are %q, were %q", now, was)
	}
	f.crash(t, true)
	f.await(t, func(e ovnsync.Event) bool { return e.New })
	update()
	if now := uuids(); now != was {
		t.Errorf("after the database was lost rows are %q, were %q", now, was)
	}

	f.tool(t, "ovn-nbctl", "set", "Logical_Switch_Port", "p1", "name=theirs", "external_ids={}")
	f.await(t, func(e ovnsync.Event) bool { return e.Owner == attachment("p1") })
	must(t, true)(f.Update(ctx, attachment("p1"), portRow("n1", "p1")))
	must(t, false)(f.Update(ctx, attachment("p1"), portRow("n1", "p1")))
	if now := uuids(); now != was {
		t.Errorf("after its name and its keys were taken away rows are %q, were %q", now, was)
	}
}

// TestBegin: what is asked for before the database is read waits for that, and
// the database is read once.
func TestBegin(t *testing.T) {
	f := start(t)
	var connected sync.WaitGroup
	connected.Add(1)
	s, err := ovnsync.New(ovnsync.Options{Endpoint: f.stack.Endpoints().NB, Log: testr.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	s.Subscribe(func(e ovnsync.Event) {
		if e.Reason == "connected" {
			connected.Done() // a second time it panics
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	updated := make(chan error, 1)
	go func() {
		_, err := s.Update(ctx, network("early"), switchRow("early"))
		updated <- err
	}()
	s.Begin(ctx)
	select {
	case err := <-updated:
		t.Fatalf("an update before it runs: %v", err)
	case <-time.After(100 * time.Millisecond): // it is to wait
	}
	runs, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(runs) }()
	if err := <-updated; err != nil {
		t.Errorf("an update that waited: %v", err)
	}
	connected.Wait()
	stop()
	<-done
}

// TestNoDatabase: where there is no database, a caller is told at once.
func TestNoDatabase(t *testing.T) {
	s, err := ovnsync.New(ovnsync.Options{Endpoint: "unix:" + filepath.Join(t.TempDir(), "none.sock"), Log: testr.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s.Begin(ctx)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	if _, err := s.Delete(ctx, network("none")); !errors.Is(err, ovnsync.ErrDisconnected) {
		t.Errorf("deleting from no database: %v", err)
	}
	cancel()
	<-done
}
