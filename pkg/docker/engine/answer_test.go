// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testTranslation() translation {
	t := translation{
		predefined: map[string]string{"host": testNetworks[3].ID},
		ports: map[string][]Port{"e1": {
			{Protocol: "tcp", HostPort: 8080, Container: 80},
			{Protocol: "udp", HostIP: "127.0.0.1", HostPort: 53, Container: 53},
		}},
	}
	for _, n := range testNetworks[:3] {
		t.shadows = append(t.shadows, shadow{id: "5" + n.ID[1:], name: shadowName(n.ID), network: n.ID, label: n.Name})
	}
	return t
}

func TestAnswersAreTranslated(t *testing.T) {
	web, host, bridge := testNetworks[1].ID, testNetworks[3].ID, testNetworks[0].ID
	for _, c := range []struct {
		name    string
		listed  bool
		in, out string
	}{
		{
			"inspected", false,
			`{"Id":"1","New":{"b":1,"a":2},"Config":{"ExposedPorts":{"80/tcp":{},"443/tcp":{}}},"HostConfig":{"NetworkMode":"arca-a11111111111","Dns":["10.88.0.1"]},
			"NetworkSettings":{"Ports":{},"IPAddress":"","Networks":{"arca-a11111111111":{"NetworkID":"51` + web[2:] + `","EndpointID":"e1","IPAddress":"10.88.0.2","GlobalIPv6Address":"fd00::2",
			"DriverOpts":{"x":"y","network.arca.dev/hostname":"c1","network.arca.dev/name-server":"10.88.0.1"}}}}}`,
			`{"Id":"1","New":{"b":1,"a":2},"Config":{"ExposedPorts":{"80/tcp":{},"443/tcp":{}}},"HostConfig":{"NetworkMode":"web","Dns":[]},
			"NetworkSettings":{"Ports":{"443/tcp":null,"53/udp":[{"HostIp":"127.0.0.1","HostPort":"53"}],"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}]},
			"IPAddress":"","Networks":{"web":{"NetworkID":"` + web + `","EndpointID":"e1","IPAddress":"10.88.0.2","GlobalIPv6Address":"fd00::2","DriverOpts":{"x":"y"}}}}}`,
		},
		{
			"on the default network, in an old version", false,
			`{"HostConfig":{"NetworkMode":"arca-b00000000000","Dns":["9.9.9.9"]},"NetworkSettings":{"Gateway":"","IPAddress":"","IPPrefixLen":0,
			"Networks":{"arca-b00000000000":{"NetworkID":"","EndpointID":"e2","Gateway":"172.17.0.1","IPAddress":"172.17.0.2","IPPrefixLen":16,"MacAddress":"02:00:00:00:00:01","DriverOpts":{"network.arca.dev/aliases":"a"}}}}}`,
			`{"HostConfig":{"NetworkMode":"bridge","Dns":["9.9.9.9"]},"NetworkSettings":{"Gateway":"172.17.0.1","IPAddress":"172.17.0.2","IPPrefixLen":16,
			"Networks":{"bridge":{"NetworkID":"","EndpointID":"e2","Gateway":"172.17.0.1","IPAddress":"172.17.0.2","IPPrefixLen":16,"MacAddress":"02:00:00:00:00:01","DriverOpts":null}}}}`,
		},
		{
			"of the engine's own networks", false,
			`{"HostConfig":{"NetworkMode":"host"},"NetworkSettings":{"Networks":{"host":{"NetworkID":"77"}}}}`,
			`{"HostConfig":{"NetworkMode":"host"},"NetworkSettings":{"Networks":{"host":{"NetworkID":"` + host + `"}}}}`,
		},
		{
			"listed", true,
			`{"Id":"1","Ports":[],"HostConfig":{"NetworkMode":"arca-b00000000000"},"NetworkSettings":{"Networks":{"arca-b00000000000":{"NetworkID":"50` + bridge[2:] + `","EndpointID":"e1"}}}}`,
			`{"Id":"1","Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},{"IP":"127.0.0.1","PrivatePort":53,"PublicPort":53,"Type":"udp"}],
			"HostConfig":{"NetworkMode":"bridge"},"NetworkSettings":{"Networks":{"bridge":{"NetworkID":"` + bridge + `","EndpointID":"e1"}}}}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc, _, err := parseObject([]byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			tr := testTranslation()
			if !tr.knows([]object{doc}) {
				t.Error("it does not know all shadows")
			}
			change := tr.inspected
			if c.listed {
				change = tr.listed
			}
			if diff := cmp.Diff(ordered(c.out), ordered(string(change(doc).encode()))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A shadow that was made since the last look is missed, whatever it is named in.
func TestUnknownShadow(t *testing.T) {
	for _, in := range []string{
		`{"HostConfig":{"NetworkMode":"arca-999999999999"}}`,
		`{"NetworkSettings":{"Networks":{"host":{},"arca-999999999999":{}}}}`,
	} {
		doc, _, err := parseObject([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		if testTranslation().knows([]object{doc}) {
			t.Errorf("%s: it claims to know", in)
		}
	}
}

func TestTextIsTranslated(t *testing.T) {
	got := testTranslation().text("endpoint with name c1 already exists in network arca-a11111111111, that is 51" + testNetworks[1].ID[2:])
	if want := "endpoint with name c1 already exists in network web, that is " + testNetworks[1].ID; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Members keep their order and bytes.
func TestObjectIsKept(t *testing.T) {
	const in = `{"z":1.50,"a":{"q": [ 1,2 ]},"k<":"<&>","n":null}`
	o, rest, err := parseObject([]byte(in + " tail"))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(o.encode()) + string(rest); got != in+" tail" {
		t.Errorf("%s, want %s", got, in)
	}
	for _, bad := range []string{"", "{", `{"a"`, `{"a":1`, "[]", `{"a":1,}`} {
		if _, _, err := parseObject([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestShadowFilter(t *testing.T) {
	for in, want := range map[string]string{
		`["web"]`:         `{"arca-a11111111111":true}`,
		`{"a":true}`:      `{"arca-a11111111111":true,"arca-a22222222222":true}`,
		`["host","nope"]`: `{"host":true,"nope":true}`,
		`["bridge"]`:      `{"arca-b00000000000":true}`,
		`"x"`:             `"x"`,
	} {
		if got := string(shadowFilter([]byte(in), testNetworks)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestEventsOfShadowsAreLeftOut(t *testing.T) {
	for event, want := range map[string]bool{
		`{"Type":"network","Action":"connect","Actor":{"ID":"1","Attributes":{"container":"c","name":"arca-a1","type":"arca"}}}`: true,
		`{"Type":"network","Action":"connect","Actor":{"ID":"1","Attributes":{"name":"host","type":"host"}}}`:                    false,
		`{"Type":"container","Action":"start","Actor":{"ID":"1","Attributes":{"type":"arca"}}}`:                                  false,
		strings.Repeat("x", 10): false,
	} {
		if ofShadow([]byte(event)) != want {
			t.Errorf("%s: %v", event, !want)
		}
	}
}
