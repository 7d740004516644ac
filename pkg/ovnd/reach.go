// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Who reads a database and connects to it by itself tries a second after a connection
// ended, and after two, four and eight if it ends again soon. For ovs-vswitchd that is too
// long: without its database it forwards nothing in userspace (bridge_run of OVS 3.5
// returns where it has lost its lock), and what comes in waits in the sockets of its
// ports. For OVN it means that nothing new is taken in, and who connects by itself sees a
// database before it is filled (hold.go). So all of them listen, and ovsdb-server connects
// to them (a remote "punix:" of theirs, "unix:" of its own; ovsdb(7)) when it starts, when
// one of them does, and when one is no longer held. Only to ovs-vswitchd's database does
// ovn-controller connect by itself: that of OVN 25.03 would listen for it twice, and hear
// once.

// Where daemons wait for ovsdb-server, in the run folder: files of their sockets.
const (
	switchSocket = "ovs-vswitchd.sock"
	northdNB     = "northd-nb.sock"
	northdSB     = "northd-sb.sock"
	controllerSB = "controller-sb.sock"
)

// passive is the argument, or the setting, by which a daemon listens.
func passive(o *Options, file string) string { return "punix:" + o.path(file) }

// remote is the argument by which ovsdb-server connects to the daemon.
func (d *daemon) remote(file string) string { return "unix:" + d.options.path(file) }

// listens tells whether the daemon waits for ovsdb-server, as one does that was started
// by an arca-network of today.
func (d *daemon) listens() bool {
	return len(d.sockets) > 0 && d.accepts(d.sockets[0])
}

// awaits tells whether the daemon waits for a server that has these remotes, and is not
// connected to it.
func (d *daemon) awaits(remotes []string) bool {
	return d.listens() && slices.ContainsFunc(d.sockets, func(file string) bool {
		return !slices.Contains(remotes, d.remote(file))
	})
}

// remotes are those that the server connects to.
func (s *Stack) remotes(ctx context.Context) ([]string, error) {
	out, err := s.daemon("ovsdb-server").ask(ctx, "ovsdb-server/list-remotes")
	return strings.Fields(out), err
}

// reachTimeout is how long a daemon that runs, or is being started, may take to listen.
const reachTimeout = 10 * time.Second

// acceptsPoll is how often the kernel is asked whether a socket listens, which it
// tells nobody.
const acceptsPoll = 5 * time.Millisecond

// reach has ovsdb-server connect to each socket of a daemon, as soon as it listens there.
func (s *Stack) reach(ctx context.Context, d *daemon) error {
	ctx, cancel := context.WithTimeoutCause(ctx, reachTimeout, fmt.Errorf("%s does not listen", d.name))
	defer cancel()
	for _, file := range d.sockets {
		for !d.accepts(file) {
			if !pause(ctx, acceptsPoll) {
				return context.Cause(ctx)
			}
		}
		if err := s.dial(ctx, d, file); err != nil {
			return err
		}
	}
	return nil
}

// connect is reach for a daemon that waits. One that is being started is connected then.
func (s *Stack) connect(ctx context.Context, d *daemon) error {
	if !d.listens() {
		return nil
	}
	return s.reach(ctx, d)
}

// connectOVN is connect for OVN's daemons.
func (s *Stack) connectOVN(ctx context.Context) error {
	return errors.Join(s.connect(ctx, s.northdHold.daemon), s.connect(ctx, s.controllerHold.daemon))
}

// dial has ovsdb-server try now: it makes the remote anew.
func (s *Stack) dial(ctx context.Context, d *daemon, file string) error {
	server := s.daemon("ovsdb-server")
	_, _ = server.ask(ctx, "ovsdb-server/remove-remote", d.remote(file)) // which it may not have
	_, err := server.ask(ctx, "ovsdb-server/add-remote", d.remote(file))
	return err
}

// connectNew is reach for a daemon that is being started, by a server that may be so
// too. ovn-northd, where it is held, is connected when it no longer is; a new
// ovs-vswitchd has nothing to lose.
func (s *Stack) connectNew(ctx context.Context, d *daemon) {
	for !(d == s.northdHold.daemon && s.northdHold.waits()) && s.reach(ctx, d) != nil && pause(ctx, acceptsPoll) {
	}
}

// remoteArgs are arguments for ovsdb-server, which then connects when it starts to those
// that wait for it and are not held. While ovn-northd is, ovn-controller would find
// nothing new, and reading all that there is keeps the server from taking the rows.
func (s *Stack) remoteArgs() []string {
	var args []string
	for _, d := range s.daemons {
		if s.holdOf(d).is() || !d.listens() {
			continue
		}
		for _, file := range d.sockets {
			args = append(args, "--remote="+d.remote(file))
		}
	}
	return args
}

// holdOf is what has a daemon wait, unconnected.
func (s *Stack) holdOf(d *daemon) *hold {
	if d == s.switchHold.daemon {
		return s.switchHold
	}
	return s.northdHold
}

// How often it is looked whether who waits for ovsdb-server is connected: always, and
// after one of them, or the server, was started anew.
const (
	reachedAtLeast = 10 * time.Second
	reachedSoon    = time.Second
)

// keepReached connects, until ctx is done, to daemons that wait and are not held. It is
// for what was missed: a server that took longer to start than they were waited for.
func (s *Stack) keepReached(ctx context.Context) {
	next := reachedAtLeast
	started := make(chan struct{}, 1)
	s.Subscribe(func(string) {
		select {
		case started <- struct{}{}:
		default:
		}
	})
	t := time.NewTimer(next)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-started:
			t.Reset(reachedSoon)
			continue
		case <-t.C:
		}
		next = reachedAtLeast
		if !s.reachMissed(ctx) {
			next = reachedSoon
		}
		t.Reset(next)
	}
}

// reachMissed connects to daemons that wait and are not held; false where that is to be
// tried again soon. The server is asked only where one is not connected: each question
// is a process.
func (s *Stack) reachMissed(ctx context.Context) bool {
	alone := func(d *daemon) bool { return !s.holdOf(d).is() && slices.ContainsFunc(d.sockets, d.alone) }
	if !slices.ContainsFunc(s.daemons, alone) {
		return true
	}
	remotes, err := s.remotes(ctx)
	if err != nil {
		return false // it is being started
	}
	done := true
	for _, d := range s.daemons {
		if !d.awaits(remotes) || s.holdOf(d).is() {
			continue
		}
		if err := s.connect(ctx, d); err != nil && ctx.Err() == nil {
			s.options.Log.Error(err, "A daemon is not connected to its database; trying again", "daemon", d.name)
			done = false
		} else {
			s.options.Log.Info("A daemon that waited for its database was connected", "daemon", d.name)
		}
	}
	return done
}

// accepts tells whether the daemon listens at a file of the run folder. To connect would
// be to take the place of who is waited for.
func (d *daemon) accepts(file string) bool {
	listens, _ := d.ends(file)
	return listens
}

// alone tells whether the daemon listens at a file of the run folder, and nobody is
// connected to it there.
func (d *daemon) alone(file string) bool {
	listens, connected := d.ends(file)
	return listens && !connected
}

// ends tells what the kernel has of the daemon's sockets at a file of the run folder: one
// that listens (proc(5), net/unix: the flag __SO_ACCEPTCON), and the daemon's end of a
// connection. The kernel shows the sockets of the process's network namespace, which
// need not be ours.
func (d *daemon) ends(file string) (listens, connected bool) {
	p, err := openProcess(d.pidfile())
	if err != nil || p == nil {
		return false, false
	}
	defer p.close()
	all, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/unix", p.pid))
	if err != nil {
		return false, false
	}
	for line := range strings.Lines(string(all)) {
		if f := strings.Fields(line); len(f) == 8 && f[7] == d.options.path(file) {
			if f[3] == "00010000" {
				listens = true
			} else {
				connected = true
			}
		}
	}
	return listens, connected
}

// ovn-controller, whose OpenFlow connection ends with ovs-vswitchd, tries again a
// second later, and until then a new one forwards nothing. It connects at once where
// it is told another target (external_ids:ovn-bridge-remote of ovn-controller(8), from
// OVN 24.03 on; older ones do not read it). So the same socket is spelled otherwise.

const keyBridgeRemote = "external_ids:ovn-bridge-remote"

// otherRemote spells the path of the bridge's socket otherwise than it is spelled.
// Where nothing says how, ovn-controller spells it plainly.
func otherRemote(path, have string) string {
	if plain := "unix:" + path; have != "" && have != plain {
		return plain
	}
	return "unix:" + filepath.Dir(path) + "/./" + filepath.Base(path)
}

// introduce has an ovn-controller that runs connect to an ovs-vswitchd that was just
// started. Where that fails it comes by itself, a little later.
func (s *Stack) introduce(ctx context.Context) error { return s.introduceWith(ctx, nil) }

// introduceWith is introduce, and makes more settings.
func (s *Stack) introduceWith(ctx context.Context, more map[string]string) error {
	if !s.controllerHold.daemon.runs() {
		return nil // what starts later connects at once
	}
	s.controllerHold.end(ctx) // there are no flows any more to be kept
	vsctl := func(args ...string) (string, error) {
		return s.programs.run(ctx, "ovs-vsctl", append([]string{"--no-wait", "--db=" + s.Endpoints().OVS}, args...)...)
	}
	have, err := vsctl("--if-exists", "get", "Open_vSwitch", ".", keyBridgeRemote)
	if err == nil {
		next := otherRemote(s.options.path(Bridge+".mgmt"), strings.Trim(have, `"`))
		s.remote.Store(&next)
		set := map[string]string{keyBridgeRemote: next}
		maps.Copy(set, more)
		_, err = vsctl(append([]string{"set", "Open_vSwitch", "."}, assignments(set)...)...)
	}
	if err != nil {
		s.options.Log.Error(err, "ovn-controller was not told of the new ovs-vswitchd; it will find out")
	}
	return nil
}
