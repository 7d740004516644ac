// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// Options is what a Manager works with.
type Options struct {
	// Uplink is the host's interface on the join switch.
	Uplink string
	// Addresses are the host's on it, at most one of each family.
	Addresses []netip.Addr
	// PortGroup is the interface group of the devices whose frames are for
	// ovs-vswitchd alone (ip-link(8), group). 0: there are none.
	PortGroup uint32
	// Resync is how often everything is looked at anyway. Default: 5 minutes.
	Resync time.Duration
	Log    logr.Logger
}

// Manager is the writer of the table.
type Manager struct {
	options Options
	kernel  kernel
	shape   string

	mu sync.Mutex
	// known is what the kernel has since transaction generation; nil: look.
	known      *table
	generation uint32
	applied    bool
	// flowsDue is when tracked connections are to be looked at; zero: they are right.
	flowsDue time.Time
	failure  error // of the last Apply
	// quiet are the quiet interfaces, which no look at the kernel's switches
	// can tell. After a restart the table tells them.
	quiet map[*family]map[string]string

	forgetting forgetter

	// unsettled asks Run for another look in a while.
	unsettled chan struct{}

	subscribers struct {
		sync.Mutex
		list []func(Event)
	}
}

// New returns a manager of the network namespace that it is called in.
func New(o Options) (*Manager, error) {
	if o.Resync == 0 {
		o.Resync = 5 * time.Minute
	}
	m := &Manager{options: o, forgetting: forgetter{walk: deleteFlows}, unsettled: make(chan struct{}, 1),
		kernel: kernel{join{uplink: o.Uplink, addrs: o.Addresses, ports: o.PortGroup}}}
	var err error
	m.shape, err = shapeOfOurs(m.kernel.join)
	return m, err
}

// Subscribe has fn called upon events. It must not block. Call it before Run.
func (m *Manager) Subscribe(fn func(Event)) {
	m.subscribers.Lock()
	defer m.subscribers.Unlock()
	m.subscribers.list = append(m.subscribers.list, fn)
}

func (m *Manager) tell(e Event) {
	m.subscribers.Lock()
	defer m.subscribers.Unlock()
	for _, fn := range m.subscribers.list {
		fn(e)
	}
}

// Apply makes the table, the switches of forwarding and the tracked
// connections what a state says. It is idempotent and tells whether it had to
// write to the table. After an error the caller tries again; the table is then
// as it was before, or as it should be, never between.
func (m *Manager) Apply(ctx context.Context, s State) (changed bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer func() { m.failure = err }()
	want := table{shape: m.shape, content: contentOf(s)}
	var (
		ch       change
		settings []setting
	)
	// What is known may be out of date, and the kernel refuses the change then.
	for try := 0; ; try++ {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		ch, settings, err = m.plan(s, want)
		if err == nil && !ch.empty() {
			err = m.write(ch, want)
		}
		if err == nil {
			m.quiet = map[*family]map[string]string{ip4: want.content[ip4.quiet], ip6: want.content[ip6.quiet]}
			break
		}
		m.known = nil
		if try == 1 {
			return false, err
		}
	}
	if err := writeSettings(settings); err != nil {
		return !ch.empty(), err
	}
	// A walk over all tracked connections takes the kernel some milliseconds, while OVN
	// works on the network that is new. Nobody was there to send.
	if m.applied && ch.onlyNewSubnets() {
		if m.flowsDue.IsZero() {
			m.flowsDue = time.Now().Add(settling)
		}
		m.later()
	} else if !ch.empty() || !m.applied || !m.flowsDue.IsZero() && !time.Now().Before(m.flowsDue) {
		if err := m.mendFlows(s, want.content, ch); err != nil {
			m.applied = false // look at the flows again
			return true, err
		}
		m.flowsDue = time.Time{}
	}
	m.applied = true
	return !ch.empty(), nil
}

// plan compares with what is there, and enters into want which interfaces are quiet.
func (m *Manager) plan(s State, want table) (change, []setting, error) {
	if m.known == nil {
		var err error
		if m.generation, err = m.kernel.generation(); err != nil {
			return change{}, nil, err
		}
		if m.known, err = m.kernel.read(); err != nil {
			return change{}, nil, err
		}
	}
	var settings []setting
	for _, f := range families {
		was := m.quietOf(f, m.known)
		want.content[f.quiet] = was
		if !s.has(f) {
			continue
		}
		observed, err := observe(f, m.options, was)
		if err != nil {
			return change{}, nil, err
		}
		quiet, write := decideForwarding(observed, m.options.Uplink, was)
		want.content[f.quiet] = quiet
		settings = append(settings, write...)
	}
	return changeOf(m.known, want), settings, nil
}

// quietOf are the quiet interfaces of a family. have is the kernel's table, or nil.
func (m *Manager) quietOf(f *family, have *table) map[string]string {
	if m.quiet == nil && have != nil {
		return have.content[f.quiet]
	}
	return m.quiet[f]
}

// has tells whether a state concerns a family.
func (s State) has(f *family) bool {
	for _, list := range [][]netip.Prefix{s.Masqueraded, s.Routed, s.Closed} {
		for _, p := range list {
			if familyOf(p.Addr()) == f {
				return true
			}
		}
	}
	return false
}

// write commits a change. The generation tells whether somebody else did so
// since our look, but not to which table: nothing is known then, so that word of
// a change to ours, which may come only now, leads to another look.
func (m *Manager) write(ch change, want table) error {
	before, err := m.kernel.generation()
	if err != nil {
		return err
	}
	if err := m.kernel.write(ch, want); err != nil {
		return err
	}
	after, err := m.kernel.generation()
	if err != nil {
		return err
	}
	m.options.Log.V(1).Info("Wrote the nftables table", "rebuild", ch.rebuild, "added", size(ch.add), "removed", size(ch.del))
	if m.known = &want; before != m.generation || after != before+1 {
		m.known = nil
	}
	m.generation = after
	return nil
}

func size(c content) int {
	n := 0
	for _, elements := range c {
		n += len(elements)
	}
	return n
}

func (m *Manager) mendFlows(s State, ports content, ch change) error {
	hosts, err := hostAddresses()
	if err != nil {
		return err
	}
	j := judge{ports: ports, removed: ch.del, behind: s.Masqueraded, thisHost: hosts}
	j.closed = append(append(j.closed, s.Closed...), s.Isolated...)
	j.inside = append(append(append(j.inside, j.closed...), s.Masqueraded...), s.Routed...)
	n, err := deleteFlows(j.contradicts)
	if n > 0 {
		m.options.Log.V(1).Info("Deleted tracked connections that are no longer right", "connections", n)
	}
	return err
}

// Applied tells whether a state is in force.
func (m *Manager) Applied() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.applied
}

// ErrPending is the error of Check while nothing has been applied yet.
var ErrPending = errors.New("the nftables table has not been written yet")

// Check looks whether the kernel has the table as the last Apply wrote it, and
// tells what that one had failed with where it did.
func (m *Manager) Check(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case m.failure != nil:
		return m.failure
	case !m.applied:
		return ErrPending
	}
	now, err := m.kernel.generation()
	if err != nil || m.known != nil && now == m.generation {
		return err
	}
	have, err := m.kernel.read()
	switch {
	case err != nil:
		return err
	case have == nil:
		return fmt.Errorf("nftables table inet %s is not there", TableName)
	case have.shape != m.shape:
		return fmt.Errorf("the rules of nftables table inet %s are not ours", TableName)
	}
	return nil
}

// Remove deletes the table. What kept the quiet interfaces from forwarding among
// each other goes with it, so they no longer forward. Tracked connections go on
// as they are.
func (m *Manager) Remove(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known, m.applied, m.failure = nil, false, nil
	err := ctx.Err()
	if err == nil {
		err = m.giveBack()
	}
	if err == nil {
		err = m.kernel.remove()
	}
	if err != nil {
		return fmt.Errorf("removing nftables table %s: %w", TableName, err)
	}
	m.quiet = nil
	return nil
}

// giveBack ends that the quiet interfaces forward.
func (m *Manager) giveBack() error {
	have, err := m.kernel.read()
	if err != nil {
		return err
	}
	for _, f := range families {
		was := m.quietOf(f, have)
		if len(was) == 0 {
			continue
		}
		observed, err := observe(f, m.options, was)
		if err != nil {
			return err
		}
		if err := writeSettings(giveBack(observed, was)); err != nil {
			return err
		}
	}
	return nil
}

// forget makes the next Apply look at the kernel's table.
func (m *Manager) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known = nil
}

// outdated tells whether somebody wrote after us, and has the next Apply look.
func (m *Manager) outdated() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, err := m.kernel.generation()
	if err == nil && m.known != nil && now == m.generation {
		return false
	}
	m.known = nil
	return true
}
