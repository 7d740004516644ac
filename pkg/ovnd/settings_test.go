// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"

	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
)

// TestSettingsArePutBack: without what table Open_vSwitch says, ovn-controller has no
// database. Whoever changes it, also while nobody watches, does so for a moment; what
// others keep there stays.
func TestSettingsArePutBack(t *testing.T) {
	o := ovntest.Options(t, testr.New(t))
	s, err := ovnd.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	tool := tools(t, o)
	vsctl := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(tool("ovs-vsctl", append([]string{"--db=" + s.Endpoints().OVS, "--no-wait"}, args...)...))
	}
	root := func(columns ...string) string {
		t.Helper()
		return vsctl(append([]string{"get", "Open_vSwitch", "."}, columns...)...)
	}
	columns := []string{"external_ids", "other_config"}
	want := root(columns...)
	back := func(what string) {
		t.Helper()
		for limit := time.Now().Add(20 * time.Second); root(columns...) != want; time.Sleep(10 * time.Millisecond) { // the tool is all that tells
			if time.Now().After(limit) {
				t.Fatalf("%s: settings are\n%s, want\n%s", what, root(columns...), want)
			}
		}
	}
	vsctl("remove", "Open_vSwitch", ".", "external_ids", "ovn-remote")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	back("while nobody watched")
	vsctl("set", "Open_vSwitch", ".", "external_ids:ovn-encap-type=vxlan")
	back("changed")
	vsctl("clear", "Open_vSwitch", ".", "external_ids", "--", "remove", "Open_vSwitch", ".", "other_config", "userspace-tso-enable")
	back("cleared")

	vsctl("set", "Open_vSwitch", ".", "external_ids:theirs=1", "other_config:theirs=2")
	want = root(columns...)
	vsctl("remove", "Open_vSwitch", ".", "external_ids", "system-id")
	back("beside those of others")

	kill(t, s, "ovsdb-server")
	vsctl("set", "Open_vSwitch", ".", "external_ids:ovn-bridge=other")
	back("after the server died")
	nbctl := func(args ...string) {
		tool("ovn-nbctl", append([]string{"--db=" + s.Endpoints().NB, "--timeout=20"}, args...)...)
	}
	nbctl("--wait=sb", "ls-add", "s", "--", "lsp-add", "s", "p")
	vsctl("add-port", ovnd.Bridge, "p", "--", "set", "Interface", "p", "type=internal", "external_ids:iface-id=p")
	nbctl("wait-until", "Logical_Switch_Port", "p", "up=true")
}
