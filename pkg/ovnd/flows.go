// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"regexp"
	"time"
)

// ovn-controller keeps in mind which flows it has put into br-int, and does not look.
// Where somebody removes them (ovs-ofctl del-flows), or ovs-vswitchd does, as when the
// bridge's fail_mode is changed, nothing is forwarded until it connects anew. That all
// are gone is seen by our own flow, which is among them (raguard.go).

const (
	// flowsPause is how long ovn-controller, which removes all flows itself before it
	// puts a first complete set in their place, may take for that; flowsStart is the
	// same where it, or ovs-vswitchd, was just started and it has all to compute.
	flowsPause = 200 * time.Millisecond
	flowsStart = 5 * time.Second
	// flowsOnce is how long a repair may take before there is another: each removes all
	// flows, too.
	flowsOnce = 30 * time.Second
)

// flows has ovn-controller put its flows back.
type flows struct {
	gone chan struct{} // takes one: our flow was removed
}

// suspect says that somebody has removed our flow. It does not wait.
func (f flows) suspect() {
	select {
	case f.gone <- struct{}{}:
	default:
	}
}

// keep repairs until ctx is done.
func (f flows) keep(ctx context.Context, s *Stack) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.gone:
		}
		wait := flowsPause
		if !s.daemon("ovs-vswitchd").settled() || !s.controllerHold.daemon.settled() {
			wait = flowsStart
		}
		if !pause(ctx, wait) {
			return
		}
		if s.bridgeHasFlows(ctx) || !s.controllerHold.daemon.runs() {
			continue
		}
		s.options.Log.Info("All flows of the bridge were removed; ovn-controller puts them back", "bridge", Bridge)
		_ = s.introduceWith(ctx, map[string]string{keyKeepFlows: "0"}) // it tells what failed
		// Nobody tells when they are there.
		for since := time.Now(); time.Since(since) < flowsOnce && !s.bridgeHasFlows(ctx); {
			if !pause(ctx, flowsPause) {
				return
			}
		}
	}
}

// onlyOurs is the answer of a bridge that has no flow but one.
var onlyOurs = regexp.MustCompile(`flow_count=[01]\b`)

// bridgeHasFlows tells whether the bridge has flows besides our own. One that does not
// answer may have.
func (s *Stack) bridgeHasFlows(ctx context.Context) bool {
	out, err := s.programs.run(ctx, "ovs-ofctl", "-OOpenFlow15", "--timeout=5", "dump-aggregate", "unix:"+s.options.path(Bridge+".mgmt"))
	return err != nil || !onlyOurs.MatchString(out)
}
