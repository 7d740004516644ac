// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// TestGatewaysOfTwoFamilies: a container that has its way out over IPv4 by one network
// and over IPv6 by another is reached by each at the ports that it publishes, whichever
// comes first.
func TestGatewaysOfTwoFamilies(t *testing.T) {
	w := newWorld(t)
	w.run("network", "create", "-d", "arca", "--ipam-driver", "arca", "--subnet", "10.88.0.0/24", "only4")
	w.run("network", "create", "-d", "arca", "--ipam-driver", "arca", "--ipv6", "--subnet", "10.89.0.0/24", "--subnet", "fd00:89::/64", "both")
	leads := func(name, to string) {
		t.Helper()
		w.eventually(func() error {
			out, err := exec.CommandContext(t.Context(), "nft", "list", "map", "inet", "arca", name).CombinedOutput()
			if err != nil {
				return fmt.Errorf("nft: %w: %s", err, out)
			}
			if strings.Count(string(out), " . 8080 : ") != 1 || !strings.Contains(string(out), to) {
				return fmt.Errorf("port 8080 is to lead to %s; the kernel has\n%s", to, out)
			}
			return nil
		})
	}
	for _, networks := range [][]string{{"name=only4,gw-priority=1", "both"}, {"both", "name=only4,gw-priority=1"}} {
		w.run(with([]string{"run", "-d", "--name", "c1", "--network", networks[0], "--network", networks[1], "-p", "8080:80"}, serve("c1")...)...)
		leads("everywhere4", ": 10.88.0.")
		leads("everywhere6", ": fd00:89::")
		w.published("127.0.0.1:8080", "c1")
		w.run("restart", "-t", "0", "c1")
		leads("everywhere4", ": 10.88.0.")
		leads("everywhere6", ": fd00:89::")
		w.run("network", "disconnect", "only4", "c1")
		leads("everywhere4", ": 10.89.0.")
		leads("everywhere6", ": fd00:89::")
		w.run("network", "connect", "--gw-priority", "1", "only4", "c1")
		leads("everywhere4", ": 10.88.0.")
		leads("everywhere6", ": fd00:89::")
		w.run("rm", "-f", "c1")
		w.unpublished("127.0.0.1:8080")
		w.mustAgree()
	}
	w.run("network", "rm", "only4", "both")
}
