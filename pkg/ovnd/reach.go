// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Who reads a database, or is programmed, tries a second after a connection ended, and
// after two, four and eight if it ends again soon. For ovs-vswitchd that is too long:
// without its database it forwards nothing in userspace (bridge_run of OVS 3.5 returns
// where it has lost its lock), and what comes in waits in the sockets of its ports. So
// it is ovsdb-server that connects to ovs-vswitchd, as it does when it is started, and
// when it is told to. It must not before a new database has the ports that there are:
// ovs-vswitchd would remove them.

// switchHold tells whether ovs-vswitchd waits for a new database to be filled.
type switchHold struct {
	mu      sync.Mutex
	held    bool
	release *time.Timer
}

// switchAtMost is how long it waits, from when that is served, where nobody says that
// it is filled.
const switchAtMost = 5 * time.Second

// holdSwitch is for a new database, which an ovs-vswitchd that runs must not see yet.
func (s *Stack) holdSwitch() {
	if !s.daemon("ovs-vswitchd").runs() {
		return
	}
	h := &s.switchHold
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.release != nil {
		h.release.Stop()
	}
	h.held = true
	h.release = time.AfterFunc(commandTimeout, func() {
		s.options.Log.Info("ovs-vswitchd is shown its new database, though nobody has said that it has all ports", "after", switchAtMost.String())
		s.ReleaseSwitch(context.Background())
	})
}

// served says that the database can be filled now.
func (h *switchHold) served() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held {
		h.release.Reset(switchAtMost)
	}
}

// ReleaseSwitch says that the Open_vSwitch database has all ports that there are.
func (s *Stack) ReleaseSwitch(ctx context.Context) {
	h := &s.switchHold
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.held {
		return
	}
	if err := s.dialSwitch(ctx); err != nil {
		s.options.Log.Error(err, "ovs-vswitchd is not shown its database; trying again", "after", switchAtMost.String())
		h.release.Reset(switchAtMost)
		return
	}
	h.held = false
	h.release.Stop()
}

// switchRemote is an argument for ovsdb-server, which then connects when it starts.
func (s *Stack) switchRemote() []string {
	s.switchHold.mu.Lock()
	defer s.switchHold.mu.Unlock()
	if s.switchHold.held {
		return nil
	}
	return []string{"--remote=unix:" + s.switchSocket()}
}

// switchSocket is where ovs-vswitchd waits for its database.
func (s *Stack) switchSocket() string { return s.options.path("ovs-vswitchd.sock") }

// acceptsPoll is how often the kernel is asked whether a socket listens, which it
// tells nobody.
const acceptsPoll = 5 * time.Millisecond

// connectSwitch has ovsdb-server connect to an ovs-vswitchd that is being started, once
// that listens, and returns then or when ctx is done.
func (s *Stack) connectSwitch(ctx context.Context) {
	for told := false; !told; {
		if !pause(ctx, acceptsPoll) {
			return
		}
		if accepts(s.switchSocket()) {
			told = s.dialSwitch(ctx) == nil
		}
	}
}

// dialSwitch has it try now: it makes the remote anew.
func (s *Stack) dialSwitch(ctx context.Context) error {
	server := s.daemon("ovsdb-server")
	_, _ = server.ask(ctx, "ovsdb-server/remove-remote", "unix:"+s.switchSocket()) // an older one has none
	_, err := server.ask(ctx, "ovsdb-server/add-remote", "unix:"+s.switchSocket())
	return err
}

// accepts tells whether a process listens at a path (proc(5), /proc/net/unix: the flag
// __SO_ACCEPTCON). To connect would be to take the place of who is waited for.
func accepts(path string) bool {
	all, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(all)) {
		if f := strings.Fields(line); len(f) == 8 && f[7] == path && f[3] == "00010000" {
			return true
		}
	}
	return false
}

// ovn-controller, whose OpenFlow connection ends with ovs-vswitchd, tries again a
// second later, and until then a new one forwards nothing. It connects at once where
// it is told another target (external_ids:ovn-bridge-remote of ovn-controller(8), from
// OVN 24.03 on; older ones do not read it). So the same socket is spelled otherwise.

const keyBridgeRemote = "external_ids:ovn-bridge-remote"

// bridgeRemote is how ovn-controller was last told to reach the bridge.
type bridgeRemote struct{ last atomic.Pointer[string] }

// settings are for a database that does not say it: to lose it were another target.
func (r *bridgeRemote) settings() []string {
	if last := r.last.Load(); last != nil {
		return []string{keyBridgeRemote + "=" + *last}
	}
	return nil
}

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
func (s *Stack) introduce(ctx context.Context) error {
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
		s.remote.last.Store(&next)
		_, err = vsctl("set", "Open_vSwitch", ".", keyBridgeRemote+"="+next)
	}
	if err != nil {
		s.options.Log.Error(err, "ovn-controller was not told of the new ovs-vswitchd; it will find out")
	}
	return nil
}
