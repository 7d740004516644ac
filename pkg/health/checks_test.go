// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vas-solutus/arca-network/pkg/nat"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

func TestDecisions(t *testing.T) {
	late := fmt.Errorf("ovn-northd has not answered: %w", context.DeadlineExceeded)
	for name, c := range map[string]struct {
		found Measurement
		state State
		says  string
	}{
		"path, quick":               {southbound(time.Second, nil), "", ""},
		"path, slow":                {southbound(pathSlow+time.Second, nil), Degraded, "took 11s"},
		"path, late":                {southbound(pathSlow, late), Degraded, "ovn-northd"},
		"path, dead":                {southbound(pathDead, late), "", "ovn-northd"},
		"path, database away":       {southbound(0, ovnsync.ErrDisconnected), "", "does not answer"},
		"datapath, no database":     {datapath(0, fmt.Errorf("x: %w", vnet.ErrNotConnected)), Unknown, "not connected"},
		"datapath, vswitchd hangs":  {datapath(0, &vnet.VswitchdError{Waiting: "x", Err: errors.New("y")}), "", "ovs-vswitchd does not answer"},
		"disk, well":                {disk("/s", diskLow), "", "256 MiB are free"},
		"disk, low":                 {disk("/s", diskLow-1), Degraded, "255 MiB are free, want 256"},
		"disk, full":                {disk("/s", diskFull-1), Unhealthy, "7 MiB are free"},
		"nat, well":                 {translation(nil, nil), "", ""},
		"nat, not yet":              {translation(nil, nat.ErrPending), Unknown, "not been written yet"},
		"nat, fails":                {translation(nil, errors.New("no nftables")), "", "no nftables"},
		"nat, in the way":           {translation([]string{"ip filter FORWARD"}, nil), Degraded, "ip filter FORWARD drops"},
		"daemons, well":             {daemons([]ovnd.Component{{Name: "a", PID: 1, Restarts: 2}}), "", "a restarted 2 times"},
		"daemons, one does not run": {daemons([]ovnd.Component{{Name: "a", PID: 1}, {Name: "b"}, {Name: "c", LastError: "no"}}), "", "b died, and is being started; c does not start: no"},
	} {
		text := c.found.Message
		if c.found.Err != nil {
			text += c.found.Err.Error()
		}
		if c.found.State != c.state || !strings.Contains(text, c.says) {
			t.Errorf("%s: %q %q, want %q and %q", name, c.found.State, text, c.state, c.says)
		}
	}
}
