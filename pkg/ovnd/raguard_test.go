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
	eventually("after all flows were removed", guard, ovn)

	for _, name := range []string{"ovn-controller", "ovs-vswitchd"} {
		kill(t, s, name)
		eventually("after "+name+" was killed", guard, ovn)
	}
}

// TestFlowsComeBack: where ovs-vswitchd removes all flows, ovn-controller, which does not
// look, is told; once they are there, it is left alone.
func TestFlowsComeBack(t *testing.T) {
	o := ovntest.Options(t, testr.New(t))
	s := ovntest.Start(t, o)
	tool := tools(t, o)
	nbctl := func(args ...string) {
		t.Helper()
		tool("ovn-nbctl", append([]string{"--db=" + s.Endpoints().NB, "--timeout=20"}, args...)...)
	}
	vsctl := func(args ...string) string {
		t.Helper()
		return tool("ovs-vsctl", append([]string{"--db=" + s.Endpoints().OVS, "--timeout=20"}, args...)...)
	}
	nbctl("--wait=sb", "ls-add", "s", "--", "lsp-add", "s", "p", "--", "lsp-set-addresses", "p", "02:00:00:00:00:01")
	vsctl("add-port", ovnd.Bridge, "p", "--", "set", "Interface", "p", "type=internal", "external_ids:iface-id=p")
	nbctl("--wait=hv", "sync")
	flows := func() string {
		return tool("ovs-ofctl", "-OOpenFlow15", "--timeout=10", "dump-flows", "unix:"+o.RunDir+"/"+ovnd.Bridge+".mgmt")
	}
	want := strings.Count(flows(), "cookie=")
	remote := func() string {
		return vsctl("--if-exists", "get", "Open_vSwitch", ".", "external_ids:ovn-bridge-remote")
	}
	once := remote()
	for _, edit := range [][]string{ // each has ovs-vswitchd remove all
		{"set", "Bridge", ovnd.Bridge, "fail_mode=standalone", "--", "set-controller", ovnd.Bridge, "tcp:127.0.0.1:1"},
		{"set-fail-mode", ovnd.Bridge, "secure", "--", "del-controller", ovnd.Bridge},
		{"set-controller", ovnd.Bridge, "tcp:127.0.0.1:1"},
	} {
		before := once
		vsctl(edit...)
		for limit := time.Now().Add(20 * time.Second); strings.Count(flows(), "cookie=") < want; time.Sleep(20 * time.Millisecond) { // nobody tells
			if time.Now().After(limit) {
				t.Fatalf("after %v: want %d flows as before, there are\n%s", edit, want, flows())
			}
		}
		if once = remote(); once == before {
			t.Errorf("after %v they were not gone: ovn-controller was told nothing", edit)
		}
		// It is told again only when it has put back what it was told of.
		time.Sleep(time.Second)
	}
	nbctl("--wait=hv", "sync")
	for range 20 { // of what would come at once, over and over
		if now := remote(); now != once {
			t.Fatalf("ovn-controller is told again, %s", now)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
