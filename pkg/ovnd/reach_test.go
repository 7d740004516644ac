// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr/testr"

	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
)

// TestIntroduce: ovn-controller is told of each ovs-vswitchd that comes after one, by
// the same socket spelled otherwise, and of none by a database that is new.
func TestIntroduce(t *testing.T) {
	o := ovntest.Options(t, testr.New(t))
	s := ovntest.Start(t, o)
	remote := func() string {
		t.Helper()
		out, err := ovnd.Tool(t.Context(), o, "ovs-vsctl", "--db="+s.Endpoints().OVS, "--no-wait", "--if-exists",
			"get", "Open_vSwitch", ".", "external_ids:ovn-bridge-remote")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Trim(out, `"`)
	}
	if have := remote(); have != "" {
		t.Errorf("at first it is told %q, want nothing", have)
	}
	socket := filepath.Join(o.RunDir, ovnd.Bridge+".mgmt")
	before := "unix:" + socket // what it takes where it is told nothing
	for range 3 {
		kill(t, s, "ovs-vswitchd")
		have := remote()
		path, found := strings.CutPrefix(have, "unix:")
		if !found || have == before || filepath.Clean(path) != socket {
			t.Errorf("it is told %q, want %s, spelled otherwise than %q", have, socket, before)
		}
		before = have
	}
	if err := os.Remove(filepath.Join(o.Dir, "conf.db")); err != nil {
		t.Fatal(err)
	}
	kill(t, s, "ovsdb-server")
	if have := remote(); have != before {
		t.Errorf("in a new database it is told %q, want %q as in the one before", have, before)
	}
}
