// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"net"
	"testing"

	"github.com/vas-solutus/arca-network/pkg/docker"
)

// An expected endpoint is what the engine gets when it asks by its MAC address;
// one that it does not ask for is taken back.
func TestExpectedEndpoint(t *testing.T) {
	w := newWorld(t)
	pool := w.network("n1", "10.88.0.0/24")
	expected := func(mac string) Expected {
		m, err := net.ParseMAC(mac)
		if err != nil {
			t.Fatal(err)
		}
		return Expected{Network: "n1", MAC: m, Name: "web", Aliases: []string{"a"}}
	}
	for range 2 {
		if err := w.plugin.Expect(t.Context(), expected(mac1)); err != nil {
			t.Fatal(err)
		}
		w.state("network n1 10.88.0.0/24\nreservation on n1: 10.88.0.2/24 " + mac1)
	}
	if address := w.endpoint("n1", pool, "e1", mac1); address != "10.88.0.2/24" {
		t.Errorf("the engine gets %s, expected was 10.88.0.2/24", address)
	}
	w.state("endpoint e1 on n1: 10.88.0.2/24 " + mac1 + "\nnetwork n1 10.88.0.0/24")
	// It is the engine's by now.
	if err := w.plugin.Forget(t.Context(), expected(mac1)); err != nil {
		t.Fatal(err)
	}
	w.state("endpoint e1 on n1: 10.88.0.2/24 " + mac1 + "\nnetwork n1 10.88.0.0/24")

	if err := w.plugin.Expect(t.Context(), expected(mac2)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.plugin.Forget(t.Context(), expected(mac2)); err != nil {
			t.Fatal(err)
		}
		w.state("endpoint e1 on n1: 10.88.0.2/24 " + mac1 + "\nnetwork n1 10.88.0.0/24")
	}
}

// An engine that was killed makes another endpoint for a container that it starts
// again. That the MAC address is the container's own shows that the one from before
// is nobody's; any other may be somebody else's.
func TestEndpointThatIsReplaced(t *testing.T) {
	w := newWorld(t)
	pool := w.network("n1", "10.88.0.0/24")
	own := docker.DerivedMAC("c1", "n1").String()
	for mac, replaced := range map[string]bool{own: true, mac2: false} {
		address := w.ok("IpamDriver.RequestAddress", addressRequest(pool, "", mac))["Address"]
		w.ok("NetworkDriver.CreateEndpoint", fmt.Sprintf(`{"NetworkID":"n1","EndpointID":%q,"Options":{%q:"c1"},"Interface":{"Address":%q,"AddressIPv6":"","MacAddress":%q}}`,
			"e-"+mac, OptionContainer, address, mac))
		if again := addressRequest(pool, "", mac); replaced {
			w.ok("IpamDriver.RequestAddress", again)
		} else {
			w.refused("IpamDriver.RequestAddress", again, "MAC address "+mac+" is that of endpoint e-"+mac)
		}
	}
}
