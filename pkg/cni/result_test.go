// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

var (
	asked    = attachment{container: "c1", ifname: "eth0", netns: "/run/netns/c1"}
	answered = &controlpb.AttachContainerResponse{
		PortName: "ar0a1b", MacAddress: "02:00:00:00:00:01", Mtu: 1400,
		Addresses: []string{"10.88.0.2/24", "fd00::2/64"}, Gateways: []string{"10.88.0.1", "fd00::1"},
	}
)

func TestResultInEveryVersion(t *testing.T) {
	for _, v := range Versions.SupportedVersions() {
		t.Run(v, func(t *testing.T) {
			r, err := resultOf(&config{}, asked, &controlpb.BridgeInfo{}, answered)
			if err != nil {
				t.Fatal(err)
			}
			as, err := r.GetAsVersion(v)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := json.Marshal(as)
			if err != nil {
				t.Fatal(err)
			}
			text := string(raw)
			for _, want := range []string{
				`"cniVersion":"` + v + `"`, `"address":"10.88.0.2/24"`, `"gateway":"10.88.0.1"`, `"address":"fd00::2/64"`, `"gateway":"fd00::1"`,
				`"interface":1`, `"dst":"0.0.0.0/0"`, `"dst":"::/0"`, `"sandbox":"/run/netns/c1"`, `"mac":"02:00:00:00:00:01"`, `"nameservers":["10.88.0.1","fd00::1"]`,
			} {
				if !strings.Contains(text, want) {
					t.Errorf("%s is not in %s", want, text)
				}
			}
			if old := strings.HasPrefix(v, "0."); old != strings.Contains(text, `"version":"4"`) {
				t.Errorf("the version of the address: %s", text)
			}
			// And what a runtime hands back for CHECK is understood.
			back, err := version.NewResult(v, raw)
			if err != nil {
				t.Fatal(err)
			}
			previous, err := types100.NewResultFromResult(back)
			if err != nil {
				t.Fatal(err)
			}
			mac, addresses, err := expected("eth0", previous)
			if err != nil || mac != "02:00:00:00:00:01" || len(addresses) != 2 {
				t.Errorf("%s %v %v", mac, addresses, err)
			}
		})
	}
}

func TestDNS(t *testing.T) {
	no := false
	gateways := []string{"10.88.0.1"}
	for _, tt := range []struct {
		name, config string
		network      *controlpb.BridgeInfo
		want         string
	}{
		{"the network's", `{}`, &controlpb.BridgeInfo{Name: "web"}, `{"nameservers":["10.88.0.1"],"search":["web"]}`},
		{"with its search", `{}`, &controlpb.BridgeInfo{Name: "web", Dns: &controlpb.NetworkDNS{Search: []string{"s"}}}, `{"nameservers":["10.88.0.1"],"search":["web","s"]}`},
		{"none where it has none", `{}`, &controlpb.BridgeInfo{Dns: &controlpb.NetworkDNS{Enabled: &no}}, `{}`},
		{"the configuration's", `{"dns": {"nameservers": ["1.1.1.1"], "domain": "d", "search": ["t"], "options": ["o"]}}`, &controlpb.BridgeInfo{},
			`{"nameservers":["1.1.1.1"],"domain":"d","search":["t"],"options":["o"]}`},
		{"the runtime's", `{"dns": {"nameservers": ["1.1.1.1"]}, "runtimeConfig": {"dns": {"servers": ["8.8.8.8"], "searches": ["u"], "options": ["p"]}}}`, &controlpb.BridgeInfo{},
			`{"nameservers":["8.8.8.8"],"search":["u"],"options":["p"]}`},
	} {
		c := &config{}
		if err := json.Unmarshal([]byte(tt.config), c); err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(dnsOf(c, tt.network, gateways))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}

func TestCompare(t *testing.T) {
	r, err := resultOf(&config{}, asked, &controlpb.BridgeInfo{}, answered)
	if err != nil {
		t.Fatal(err)
	}
	good := link{up: true, mac: "02:00:00:00:00:01", addresses: []string{"fe80::1/64", "fd00::2/64", "10.88.0.2/24"}}
	if err := compareLink("eth0", r, good); err != nil {
		t.Error(err)
	}
	down, other, fewer := good, good, good
	down.up, other.mac, fewer.addresses = false, "02:00:00:00:00:02", []string{"10.88.0.2/24"}
	isError(t, compareLink("eth0", r, down), errNotAsResult, "interface eth0 is down")
	isError(t, compareLink("eth0", r, other), errNotAsResult, "has the MAC address 02:00:00:00:00:02, not 02:00:00:00:00:01")
	isError(t, compareLink("eth0", r, fewer), errNotAsResult, "not fd00::2/64")
	isError(t, compareLink("eth9", r, good), types.ErrInvalidNetworkConfig, "prevResult.interfaces: ")

	is := func(status, deleting bool) []*controlpb.ContainerNetwork {
		return []*controlpb.ContainerNetwork{{Addresses: answered.Addresses, Deleting: deleting, Conditions: []*controlpb.Condition{
			{Type: "Accepted", Status: true}, {Type: "Ready", Status: status, Reason: "NetnsNotFound", Message: "gone"}}}}
	}
	if err := compareAttachments("eth0", r, is(true, false)); err != nil {
		t.Error(err)
	}
	isError(t, compareAttachments("eth0", r, nil), errNotAsResult, "there is no attachment for interface eth0")
	isError(t, compareAttachments("eth0", r, is(false, false)), errNotAsResult, "not ready: NetnsNotFound: gone")
	isError(t, compareAttachments("eth0", r, is(true, true)), errNotAsResult, "being deleted")
	moved := is(true, false)
	moved[0].Addresses = []string{"10.88.0.3/24"}
	isError(t, compareAttachments("eth0", r, moved), errNotAsResult, "not 10.88.0.2/24")
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name string
		h    *controlpb.GetHealthResponse
		well bool
	}{
		{"well", &controlpb.GetHealthResponse{Ready: true, State: controlpb.HealthState_HEALTH_STATE_HEALTHY}, true},
		{"no way to the world", &controlpb.GetHealthResponse{Ready: true, State: controlpb.HealthState_HEALTH_STATE_DEGRADED}, true},
		{"not ready", &controlpb.GetHealthResponse{State: controlpb.HealthState_HEALTH_STATE_DEGRADED, Message: "northbound is unhealthy"}, false},
		{"unhealthy", &controlpb.GetHealthResponse{Ready: true, State: controlpb.HealthState_HEALTH_STATE_UNHEALTHY}, false},
	} {
		err := judge(tt.h)
		if (err == nil) != tt.well {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err != nil {
			isError(t, err, types.ErrLimitedConnectivity, "arca-network is not healthy: "+tt.h.GetMessage())
		}
	}
}
