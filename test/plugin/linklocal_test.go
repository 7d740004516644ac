// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"strings"
	"testing"
)

// TestLinkLocalAddresses: what is asked for by --link-local-ip, when a container is
// run and when it is connected, is on its interface and answers a neighbour; also
// after a restart. The stock engine puts it there, and tells its driver nothing.
func TestLinkLocalAddresses(t *testing.T) {
	w := newWorld(t)
	docker, try := w.front()
	// On networks of IPv4 alone the engine turns IPv6 off.
	docker("network", "create", "--ipv6", "--subnet", "10.88.0.0/24", "--subnet", "fd00:88::/64", "web")
	docker("network", "create", "--ipv6", "--subnet", "10.89.0.0/24", "--subnet", "fd00:89::/64", "db")
	docker("run", "-d", "--name", "c1", "--network", "web", "--link-local-ip", "169.254.8.8", "--link-local-ip", "fe80::8:8", image, "sleep", "1000")
	docker("run", "-d", "--name", "c2", "--network", "web", "--link-local-ip", "169.254.8.9", image, "sleep", "1000")
	docker("run", "-d", "--name", "c3", "--network", "db", "--link-local-ip", "169.254.8.10", image, "sleep", "1000")

	has := func(container, dev string, want ...string) {
		t.Helper()
		got := docker("exec", container, "ip", "-o", "addr", "show", "dev", dev)
		for _, address := range want {
			if strings.Count(got, " "+address+" ") != 1 {
				t.Errorf("%s of %s has\n%s\nwant %s once", dev, container, got, address)
			}
		}
	}
	// An address of IPv6 that the engine has put there is tried out for a second.
	answers := func(from, address string) {
		t.Helper()
		w.eventually(func() error {
			out, err := try("exec", from, "ping", "-c", "1", "-W", "1", address)
			if err != nil {
				return fmt.Errorf("%s does not reach %s: %s", from, address, out)
			}
			return nil
		})
	}
	silent := func(from, address string) {
		t.Helper()
		if out, err := try("exec", from, "ping", "-c", "1", "-W", "1", address); err == nil {
			t.Errorf("%s reaches %s: %s", from, address, out)
		}
	}
	for range 2 {
		has("c1", "eth0", "169.254.8.8/16", "fe80::8:8/64")
		answers("c2", "169.254.8.8")
		answers("c1", "169.254.8.9")
		answers("c2", "fe80::8:8%eth0")
		silent("c3", "169.254.8.8")
		w.mustAgree()
		docker("restart", "-t", "0", "c1")
	}
	if got := docker("inspect", "-f", "{{.NetworkSettings.Networks.web.IPAMConfig.LinkLocalIPs}} {{len .NetworkSettings.Networks.web.DriverOpts}}", "c1"); got != "[169.254.8.8 fe80::8:8] 0" {
		t.Errorf("the container says %s", got)
	}
	if out, err := try("run", "--rm", "--network", "web", "--link-local-ip", "169.254.8.8", image, "true"); err == nil || !strings.Contains(out, "Address already in use") {
		t.Errorf("an address in use: %s %v", out, err)
	}

	// While it runs. Of two links with the range the engine leaves the choice to the
	// kernel, so it has none on the first.
	docker("run", "-d", "--name", "c5", "--network", "web", image, "sleep", "1000")
	docker("network", "connect", "--link-local-ip", "169.254.8.11", "--link-local-ip", "fe80::8:11", "db", "c5")
	has("c5", "eth1", "169.254.8.11/16", "fe80::8:11/64")
	answers("c3", "169.254.8.11")
	answers("c3", "fe80::8:11%eth0")
	w.mustAgree()
	docker("network", "disconnect", "db", "c5")
	silent("c3", "169.254.8.11")

	// Given back, it is another's.
	docker("rm", "-f", "c1")
	docker("run", "-d", "--name", "c4", "--network", "web", "--link-local-ip", "169.254.8.8", image, "sleep", "1000")
	answers("c2", "169.254.8.8")
	docker("rm", "-f", "c2", "c3", "c4", "c5")
	docker("network", "rm", "web", "db")
	w.mustAgree()
}

// TestLinkLocalAddressesOfTheDriver: without arcad's API in front, an option says
// them to the driver.
func TestLinkLocalAddressesOfTheDriver(t *testing.T) {
	w := newWorld(t)
	w.run("network", "create", "-d", "arca", "--ipam-driver", "arca", "--subnet", "10.88.0.0/24", "n1")
	const options = "name=n1,link-local-ip=169.254.8.8,driver-opt=network.arca.dev/link-local-addresses=169.254.8.8"
	w.run("run", "-d", "--name", "c1", "--network", options, image, "sleep", "1000")
	w.run("run", "-d", "--name", "c2", "--network", "name=n1,link-local-ip=169.254.8.9", image, "sleep", "1000")
	w.run("run", "-d", "--name", "c3", "--network", strings.ReplaceAll(options, "8.8", "8.10"), image, "sleep", "1000")
	w.eventually(func() error {
		_, err := w.engine.DockerAt(t.Context(), w.engine.Host, "exec", "c3", "ping", "-c", "1", "-W", "1", "169.254.8.8")
		return err
	})
	w.refuses("", "exec", "c2", "ping", "-c", "1", "-W", "1", "169.254.8.8")
	w.run("rm", "-f", "c1", "c2", "c3")
	w.run("network", "rm", "n1")
}
