// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
)

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
