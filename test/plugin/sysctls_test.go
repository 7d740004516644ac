// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"path"
	"testing"
)

// TestEndpointSysctls: what an endpoint is to set of its interface is set there,
// when a container is run and when it is connected.
func TestEndpointSysctls(t *testing.T) {
	w := newWorld(t)
	docker, _ := w.front()
	const option = "driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1"
	docker("network", "create", "web")
	docker("network", "create", "db")
	docker("run", "-d", "--name", "c1", "--network", "name=web,"+option, image, "sleep", "1000")
	docker("run", "-d", "--name", "c2", "--network", "web", image, "sleep", "1000")
	docker("network", "connect", "--driver-opt", option[len("driver-opt="):], "db", "c2")
	// A restart may name the interfaces the other way round: the engine joins a
	// container's networks in no order. Their MAC addresses tell which is which.
	interfaceOn := func(network, container string) string {
		mac := docker("inspect", "-f", "{{.NetworkSettings.Networks."+network+".MacAddress}}", container)
		return path.Base(path.Dir(docker("exec", container, "sh", "-c", "grep -lx "+mac+" /sys/class/net/*/address")))
	}
	for range 2 {
		for at, want := range map[[2]string]string{{"c1", "web"}: "1", {"c2", "web"}: "0", {"c2", "db"}: "1"} {
			of := interfaceOn(at[1], at[0])
			if got := docker("exec", at[0], "cat", "/proc/sys/net/ipv4/conf/"+of+"/log_martians"); got != want {
				t.Errorf("log_martians of %s of %s on %s is %s, want %s", of, at[0], at[1], got, want)
			}
		}
		docker("restart", "-t", "0", "c1", "c2")
	}
	docker("rm", "-f", "c1", "c2")
	docker("network", "rm", "web", "db")
	w.mustAgree()
}
