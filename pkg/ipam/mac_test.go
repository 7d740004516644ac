// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"net"
	"testing"

	"github.com/vas-solutus/arca-network/pkg/ipam"
)

func TestMACTable(t *testing.T) {
	table := ipam.NewMACTable()
	mac := table.Allocate("a", "uid-a")
	if mac.String() != ipam.MACFor("uid-a", 0).String() || mac[0] != 2 {
		t.Errorf("got %s", mac)
	}
	if again := table.Allocate("a", "other"); again.String() != mac.String() {
		t.Errorf("a had %s, got %s", mac, again)
	}
	// Another object whose hash collides steps aside.
	if other := table.Allocate("b", "uid-a"); other.String() == mac.String() {
		t.Error("two holders of one address")
	}
	for _, bad := range []net.HardwareAddr{{1, 2, 3, 4, 5, 6}, {0, 0, 0, 0, 0, 0}, {2, 0, 0, 0, 0, 0, 0, 1}, mac} {
		if err := table.Claim("c", bad); err == nil {
			t.Errorf("Claim(%s) succeeded", bad)
		}
	}
	table.Release("a")
	if err := table.Claim("c", mac); err != nil {
		t.Error(err)
	}
	// Who claims another gives up the one that it had.
	if err := table.Claim("c", net.HardwareAddr{2, 0, 0, 0, 0, 9}); err != nil {
		t.Error(err)
	}
	if err := table.Claim("d", mac); err != nil {
		t.Errorf("what c gave up: %v", err)
	}
	if holder, held := table.Holder(mac); !held || holder != "d" {
		t.Errorf("%s is held by %q, %v, want d", mac, holder, held)
	}
	if holder, held := table.Holder(net.HardwareAddr{2}); held {
		t.Errorf("what is no address is held by %q", holder)
	}
}
