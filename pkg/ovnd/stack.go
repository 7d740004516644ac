// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Stack is the set of daemons.
type Stack struct {
	options  Options
	programs *programs
	versions Versions
	daemons  []*daemon // in the order of their start
	lock     *os.File
	ports    chan struct{} // of ovs-vswitchd have changed
	// Held, each, while a new database is filled.
	switchHold, northdHold, controllerHold *hold

	opened bool                   // databases, by a server of this process; of ovsdb-server's goroutine
	remote atomic.Pointer[string] // how ovn-controller was last told to reach the bridge
	flows  flows

	mu          sync.Mutex
	subscribers []func(component string)
}

// Start starts what does not run, adopts what does, and returns when all
// answer. The daemons go on when this process ends.
func Start(ctx context.Context, o Options) (_ *Stack, err error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	for _, dir := range []string{o.RunDir, o.Dir, filepath.Join(o.Dir, "log")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	s, err := newStack(o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.leave()
			_ = s.lock.Close()
		}
	}()
	if s.versions, err = s.programs.versions(ctx); err != nil {
		return nil, err
	}
	for _, d := range s.daemons {
		adopted, err := d.ensure(ctx)
		if err != nil {
			return nil, err
		}
		o.Log.V(1).Info("Daemon runs", "daemon", d.name, "pid", d.component().PID, "adopted", adopted)
		switch {
		case !adopted:
		case d.name == "ovsdb-server":
			err = s.adoptServer(ctx)
		case d != s.switchHold.daemon && !d.listens():
			// An older arca-network's, which connects by itself. Endpoints feel nothing.
			err = d.replace(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// newStack says which daemons there are, and makes this process the only one
// that handles those of the run folder. The options are valid.
func newStack(o Options) (*Stack, error) {
	p, err := newPrograms(&o)
	if err != nil {
		return nil, err
	}
	lock, err := lockFile(o.path("lock"))
	if err != nil {
		return nil, err
	}
	s := &Stack{options: o, programs: p, lock: lock, ports: make(chan struct{}, 1), flows: flows{make(chan struct{}, 1)}}
	s.daemons = []*daemon{
		{name: "ovsdb-server", args: s.serverArgs(), more: s.remoteArgs, exit: []string{"exit"}, reads: s.databaseFiles(),
			prepare: s.prepareDatabases, ready: s.serve},
		{name: "ovs-vswitchd", args: switchArgs(&o), sockets: []string{switchSocket},
			exit: []string{"exit", "--cleanup"}, prepare: s.configure, ready: s.introduce},
		{name: "ovn-northd", args: []string{"--ovnnb-db=" + passive(&o, northdNB), "--ovnsb-db=" + passive(&o, northdSB)},
			sockets: []string{northdNB, northdSB}, exit: []string{"exit"}, renew: s.renewSouthbound},
		{name: "ovn-controller", args: []string{EndpointsOf(o).OVS}, sockets: []string{controllerSB}, exit: []string{"exit"}, prepare: s.configure},
	}
	for _, d := range s.daemons {
		d.options, d.programs, d.log = &s.options, p, o.Log
		if len(d.sockets) > 0 {
			d.connect = func(ctx context.Context) { s.connectNew(ctx, d) }
		}
	}
	s.newHolds()
	return s, nil
}

func (s *Stack) daemon(name string) *daemon {
	for _, d := range s.daemons {
		if d.name == name {
			return d
		}
	}
	panic("no daemon " + name)
}

func (s *Stack) serverArgs() []string {
	return append([]string{"--remote=punix:" + s.options.path("db.sock")}, s.databaseFiles()...)
}

func (s *Stack) databaseFiles() (paths []string) {
	for _, db := range databaseFiles {
		paths = append(paths, filepath.Join(s.options.Dir, db.file))
	}
	return paths
}

// switchArgs are those of ovs-vswitchd. Only tunnels need the host's routes, and a chassis
// whose tunnel address is of the loopback has no tunnels: ovs-vswitchd does not keep them
// there. Else it would take them in anew after each change of a link, and ask the kernel
// for all links and addresses for each route without a source address (route-table.c and
// ovs-router.c of OVS 3.5): 40 ms for a container at 1,000 ports and two such routes.
func switchArgs(o *Options) []string {
	args := []string{passive(o, switchSocket)}
	if ip := net.ParseIP(o.EncapIP); ip != nil && ip.IsLoopback() {
		args = append(args, "--disable-system-route")
	}
	return args
}

// prepareDatabases makes the files ready. Those that a server of this process has
// opened before are looked at again only where the next one could not: that takes
// longer than all the rest, and ovs-vswitchd is without its database for so long.
func (s *Stack) prepareDatabases(ctx context.Context) error {
	opened := s.opened
	s.opened = false
	for _, db := range databaseFiles {
		made, err := db.prepare(ctx, s.programs, s.options.Dir, opened, s.options.Log)
		if err != nil {
			return err
		}
		for _, h := range s.holds() {
			if made && slices.Contains(h.reads, db.name) {
				h.begin(ctx)
			}
		}
	}
	return nil
}

// serve is for a server that was started.
func (s *Stack) serve(ctx context.Context) error {
	s.opened = true
	s.switchHold.served()
	return s.configure(ctx)
}

// adoptServer is for one that runs.
func (s *Stack) adoptServer(ctx context.Context) error {
	s.opened = true
	for _, db := range databaseFiles {
		if err := db.upgradeOnline(ctx, s.programs, s.options.Dir, s.Endpoints().OVS, s.options.Log); err != nil {
			return err
		}
	}
	remotes, err := s.remotes(ctx)
	if err != nil {
		return err
	}
	s.adoptHolds(ctx, remotes)
	return nil
}

// flowsKept is how long ovn-controller may take for its first complete set of
// flows before it replaces what is there.
const flowsKept = 2 * time.Second

// keepFlows is flowsKept where ovs-vswitchd has flows of value, and nothing
// where it has just been started: a port would wait for no reason.
func (s *Stack) keepFlows() time.Duration {
	if s.daemon("ovs-vswitchd").settled() {
		return flowsKept
	}
	return 0
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("run folder %s is in use by another arca-network: end it, or name another folder", filepath.Dir(path))
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return f, nil
}

// Endpoints are where the databases are.
func (s *Stack) Endpoints() Endpoints { return EndpointsOf(s.options) }

// Versions are those of the programs that new daemons are started from.
func (s *Stack) Versions() Versions { return s.versions }

// Components tells the state of each daemon.
func (s *Stack) Components() []Component {
	out := make([]Component, len(s.daemons))
	for i, d := range s.daemons {
		out[i] = d.component()
	}
	return out
}

// Subscribe calls fn with a daemon's name after it was started anew.
func (s *Stack) Subscribe(fn func(component string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers = append(s.subscribers, fn)
}

func (s *Stack) restarted(component string) {
	s.mu.Lock()
	subscribers := slices.Clone(s.subscribers)
	s.mu.Unlock()
	for _, fn := range subscribers {
		fn(component)
	}
}

// logCheck is how often the size of log files is looked at.
const logCheck = 10 * time.Minute

// Run restarts what dies until ctx is done, and leaves the daemons running.
func (s *Stack) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, d := range s.daemons {
		wg.Go(func() { d.watch(ctx, s.restarted) })
	}
	wg.Go(func() { s.keepBuffers(ctx) })
	wg.Go(func() { s.guard(ctx) })
	wg.Go(func() { s.keepSettings(ctx) })
	wg.Go(func() { s.keepReached(ctx) })
	wg.Go(func() { s.flows.keep(ctx, s) })
	wg.Go(func() { s.releaseController(ctx) })
	tick := time.NewTicker(logCheck)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			for _, d := range s.daemons {
				if boundLog(d.logfile()) {
					_, _ = d.ask(ctx, "vlog/reopen")
				}
			}
		}
	}
	wg.Wait()
	s.leave()
	return s.lock.Close()
}

// leave has no daemon told to go on by a clock of this process.
func (s *Stack) leave() {
	for _, h := range s.holds() {
		h.leave()
	}
}

// Stop ends the daemons and removes the run folder's files. Run must have
// returned before.
func (s *Stack) Stop(ctx context.Context) error {
	remotes, _ := s.remotes(ctx)     // none of a server that does not answer
	_ = s.controllerHold.resume(ctx) // while it pauses it does not end
	var errs []error
	for _, d := range slices.Backward(s.daemons) {
		errs = append(errs, d.stop(ctx, !d.awaits(remotes)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.options.RunDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ours(e.Name()) {
			errs = append(errs, os.Remove(s.options.path(e.Name())))
		}
	}
	_ = s.lock.Close()
	_ = os.Remove(s.options.RunDir) // if nothing of others is in it
	return errors.Join(errs...)
}

// ours tells whether a file of the run folder is one that we or the daemons made.
func ours(name string) bool {
	for _, suffix := range []string{".pid", ".ctl", ".sock", ".mgmt", ".snoop"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return name == "lock"
}

// Lock makes this process the only one that handles the daemons of a run folder.
// Where there is no folder there are none.
func Lock(runDir string) (release func(), err error) {
	f, err := lockFile(filepath.Join(runDir, "lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// Stop ends the daemons that a process which is gone has left running.
func Stop(ctx context.Context, o Options) error {
	if err := o.validate(); err != nil {
		return err
	}
	if _, err := os.Stat(o.RunDir); errors.Is(err, fs.ErrNotExist) {
		return nil // they would have their pid files there
	}
	s, err := newStack(o)
	if err != nil {
		return err
	}
	return s.Stop(ctx)
}
