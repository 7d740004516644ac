// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Ports move from one endpoint to another of the same container, and of no other,
// for a while after a call that broke off.
func TestPortsAreTakenOver(t *testing.T) {
	for _, test := range []struct{ option, first, second string }{
		{optionEndpointName, "web", "db"},
		{OptionContainer, "c1", "c2"},
	} {
		t.Run(test.option, func(t *testing.T) {
			w := newWorld(t)
			pools := map[string]string{"n1": w.network("n1", "10.88.0.0/24"), "n2": w.network("n2", "10.89.0.0/24")}
			endpoint := func(network, id, mac, container string) {
				t.Helper()
				address := w.ok("IpamDriver.RequestAddress", addressRequest(pools[network], "", mac))["Address"].(string)
				w.ok("NetworkDriver.CreateEndpoint", strings.Replace(endpointRequestOf(network, id, address, mac),
					`"Options":{`, fmt.Sprintf(`"Options":{%q:%q,`, test.option, container), 1))
			}
			publish := func(network, id string) string {
				return fmt.Sprintf(`{"NetworkID":%q,"EndpointID":%q,"Options":{%q:[{"Proto":6,"Port":80,"HostPort":8080}]}}`, network, id, optionPortMap)
			}
			published := func(at string, want int) {
				t.Helper()
				if got := len(w.control.attachments[at].GetPorts()); got != want {
					t.Errorf("%s publishes %d ports, want %d", at, got, want)
				}
			}
			const program = "NetworkDriver.ProgramExternalConnectivity"
			endpoint("n1", "e1", mac1, test.first)
			endpoint("n2", "e2", mac1, test.first)
			endpoint("n2", "e3", mac2, test.second)
			w.ok(program, publish("n1", "e1"))
			w.refused(program, publish("n2", "e2"), "8080 is published")

			if code, _ := w.post(program, ""); code != http.StatusBadRequest {
				t.Fatalf("a call without a body: %d, want %d", code, http.StatusBadRequest)
			}
			w.refused(program, publish("n2", "e3"), "8080 is published")
			published("mac-024200000001.n1", 1)
			w.ok(program, publish("n2", "e2"))
			published("mac-024200000001.n1", 0)
			published("mac-024200000001.n2", 1)

			w.clock = w.clock.Add(takesOver + time.Second)
			w.refused(program, publish("n1", "e1"), "8080 is published")
			published("mac-024200000001.n2", 1)
		})
	}
}
