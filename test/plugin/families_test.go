// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import "testing"

// TestPortsOfTwoGateways: a container whose way out for IPv4 is another network than
// that for IPv6 has its ports published for each by its own, and all of them by the
// one that is left.
func TestPortsOfTwoGateways(t *testing.T) {
	w := newWorld(t)
	docker, _ := w.front()
	docker("network", "create", "--subnet", "10.88.0.0/24", "four")
	docker("network", "create", "--ipv6", "--subnet", "10.89.0.0/24", "--subnet", "fd00:89::/64", "dual")
	address := func(network, family string) string {
		return docker("inspect", "-f", "{{.NetworkSettings.Networks."+network+"."+family+"}}", "c1")
	}
	const ipv4, ipv6 = "IPAddress", "GlobalIPv6Address"
	published := func(want4, want6 string) {
		t.Helper()
		for name, want := range map[string]string{"everywhere4": want4, "everywhere6": want6} {
			have, err := translatedIn(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if got := have["tcp :8080"]; got != want || len(have) > 1 {
				t.Errorf("ports in %s are %v, want one that leads to %q", name, have, want)
			}
		}
	}
	both := func(network string) {
		t.Helper()
		published(address(network, ipv4)+":80", address(network, ipv6)+":80")
	}
	apart := func() {
		t.Helper()
		published(address("four", ipv4)+":80", address("dual", ipv6)+":80")
		if got, want := docker("port", "c1"), "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080"; got != want {
			t.Errorf("docker port says %q, want %q", got, want)
		}
		w.published("127.0.0.1:8080", "c1")
	}
	docker(with([]string{"run", "-d", "--name", "c1", "--network", "name=four,gw-priority=1", "--network", "dual", "-p", "8080:80"}, serve("c1")...)...)
	apart()
	for range 2 {
		docker("network", "disconnect", "four", "c1")
		both("dual")
		docker("network", "connect", "--gw-priority", "1", "four", "c1")
		apart()
		docker("network", "disconnect", "dual", "c1")
		w.published("127.0.0.1:8080", "c1")
		docker("network", "connect", "dual", "c1")
		apart()
		docker("restart", "-t", "0", "c1")
		apart()
	}
	docker("rm", "-f", "c1")
	if have, err := translated(t.Context()); err != nil || len(have) > 0 {
		t.Errorf("ports of the host lead to %v (%v)", have, err)
	}
}
