// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd_test

import (
	"strings"
	"testing"

	"github.com/go-logr/logr/testr"

	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
)

// ovs-vswitchd keeps the host's routes only where tunnels may need them: those of the
// loopback, which each host has.
func TestRoutesAreForTunnels(t *testing.T) {
	for ip, want := range map[string]bool{"": false, "192.0.2.1": true} {
		t.Run(ip, func(t *testing.T) {
			o := ovntest.Options(t, testr.New(t))
			o.EncapIP = ip
			ovntest.Start(t, o)
			out, err := ovnd.Tool(t.Context(), o, "ovs-appctl", "-t", o.RunDir+"/ovs-vswitchd.ctl", "ovs/route/show")
			if err != nil {
				t.Fatal(err, out)
			}
			if got := strings.Contains(out, " dev lo"); got != want {
				t.Errorf("encap IP %q: routes of the loopback: %v, want %v:\n%s", ip, got, want, out)
			}
		})
	}
}
