// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd_test

import (
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"

	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
)

// TestRouterAdvertisementGuard: the flow that drops router advertisements comes
// back when somebody removes all flows, and when a daemon dies that holds or clears
// them; flows of others stay.
func TestRouterAdvertisementGuard(t *testing.T) {
	o := ovntest.Options(t, testr.New(t))
	s := ovntest.Start(t, o)
	bridge := "unix:" + o.RunDir + "/" + ovnd.Bridge + ".mgmt"
	ofctl := func(args ...string) (string, error) {
		return ovnd.Tool(t.Context(), o, "ovs-ofctl", append([]string{"-OOpenFlow13", "--timeout=10", args[0], bridge}, args[1:]...)...)
	}
	eventually := func(what string, wants ...string) {
		t.Helper()
		flows := ""
		for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
			missing, err := false, error(nil)
			flows, err = ofctl("dump-flows")
			for _, w := range wants {
				missing = missing || !strings.Contains(flows, w)
			}
			if err == nil && !missing {
				return
			}
		}
		t.Fatalf("%s: want %q among the flows:\n%s", what, wants, flows)
	}
	const guard = "priority=65535,icmp6,icmp_type=134 actions=drop"
	const ovn = "actions=resubmit(," // one of ovn-controller's
	eventually("at first", guard, ovn)

	if out, err := ofctl("add-flow", "table=0,priority=7,cookie=0x77,ip actions=drop"); err != nil {
		t.Fatal(err, out)
	}
	if out, err := ofctl("del-flows", "cookie=0x617263612d726167/-1"); err != nil {
		t.Fatal(err, out)
	}
	eventually("after it alone was removed", guard, "cookie=0x77", ovn)
	if out, err := ofctl("del-flows"); err != nil {
		t.Fatal(err, out)
	}
	eventually("after all flows were removed", guard)

	for _, name := range []string{"ovn-controller", "ovs-vswitchd"} {
		kill(t, s, name)
		eventually("after "+name+" was killed", guard, ovn)
	}
}
