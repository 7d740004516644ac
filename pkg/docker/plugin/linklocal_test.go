// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
)

// An engine does not tell its driver of an endpoint's link-local addresses, an option
// does: for an endpoint that was expected, for one whose address was asked for before,
// and for one that another IPAM driver has given its address.
func TestLinkLocalAddresses(t *testing.T) {
	w := newWorld(t)
	pool := w.network("n1", "10.88.0.0/24")
	has := func(mac string, want ...string) {
		t.Helper()
		m, err := net.ParseMAC(mac)
		if err != nil {
			t.Fatal(err)
		}
		a, found, err := w.plugin.attachment(t.Context(), place{containerOf(m), "n1"})
		if err != nil || !found || !slices.Equal(a.GetLinkLocalAddresses(), want) {
			t.Errorf("%s has %v, want %v (%v)", mac, a.GetLinkLocalAddresses(), want, err)
		}
	}
	create := func(id, address, mac, linkLocal string) string {
		return fmt.Sprintf(`{"NetworkID":"n1","EndpointID":%q,"Options":{%q:%q},"Interface":{"Address":%q,"AddressIPv6":"","MacAddress":%q}}`,
			id, OptionLinkLocal, linkLocal, address, mac)
	}
	expected, err := net.ParseMAC(mac1)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.plugin.Expect(t.Context(), Expected{Network: "n1", MAC: expected, LinkLocal: []netip.Addr{netip.MustParseAddr("169.254.8.8")}}); err != nil {
		t.Fatal(err)
	}
	has(mac1, "169.254.8.8")
	address := w.ok("IpamDriver.RequestAddress", addressRequest(pool, "", mac1))["Address"].(string)
	w.ok("NetworkDriver.CreateEndpoint", create("e1", address, mac1, "169.254.8.8"))
	has(mac1, "169.254.8.8")

	address = w.ok("IpamDriver.RequestAddress", addressRequest(pool, "", mac2))["Address"].(string)
	has(mac2)
	w.ok("NetworkDriver.CreateEndpoint", create("e2", address, mac2, "::ffff:169.254.8.9,fe80::9"))
	has(mac2, "169.254.8.9", "fe80::9")

	const mac3 = "02:42:00:00:00:03"
	w.ok("NetworkDriver.CreateEndpoint", create("e3", "10.88.0.77/24", mac3, "fe80::3"))
	has(mac3, "fe80::3")
	w.refused("NetworkDriver.CreateEndpoint", create("e4", "10.88.0.78/24", "02:42:00:00:00:04", "169.254.8.9/16"), `"169.254.8.9/16": it must be IP addresses with commas`)
}
