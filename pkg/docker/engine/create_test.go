// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testNetworks are those of most tests; the second's id begins as the first's.
var testNetworks = list{
	{ID: "b0" + strings.Repeat("0", 62), Name: "bridge", Object: "bridge-object", Driver: "bridge", Subnets: []Subnet{{"172.17.0.0/16", "172.17.0.1"}}},
	{ID: "a1" + strings.Repeat("1", 62), Name: "web", Object: "web-object", Driver: "bridge", Subnets: []Subnet{{"10.88.0.0/24", "10.88.0.1"}}},
	{ID: "a2" + strings.Repeat("2", 62), Name: "db", Object: "db-object", Driver: "bridge"},
	{ID: "c3" + strings.Repeat("3", 62), Name: "host", Driver: "host"},
	{ID: "d4" + strings.Repeat("4", 62), Name: "none", Driver: "null"},
}

// testPredefined are the ids of the two that have no shadow.
var testPredefined = map[string]string{"host": testNetworks[3].ID, "none": testNetworks[4].ID}

// placedAt are the places of references, as an engine with all shadows has them.
func placedAt(t *testing.T, refs []string) map[string]place {
	t.Helper()
	places := map[string]place{}
	for _, ref := range refs {
		n, err := find(testNetworks, ref)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		p := place{n, shadowName(n.ID)}
		switch n.Driver {
		case "host":
			p.shadow = "host"
		case "null":
			p.shadow = "none"
		}
		places[ref] = p
	}
	return places
}

func TestCreationIsPlaced(t *testing.T) {
	for _, c := range []struct{ name, in, out string }{
		{
			"nothing said", `{"Image":"i"}`,
			`{"Image":"i","HostConfig":{"NetworkMode":"arca-b00000000000","Dns":["172.17.0.1"]},` +
				`"NetworkingConfig":{"EndpointsConfig":{"arca-b00000000000":{"DriverOpts":{"network.arca.dev/hostname":"c1","network.arca.dev/name-server":"172.17.0.1","network.arca.dev/resolver":"gateway"}}}}}`,
		},
		{
			"default, and what nobody here knows stays",
			`{"Image":"<i>","Big":12345678901234567890,"HostConfig":{"Memory":1e3,"NetworkMode":"default","Dns":["9.9.9.9"],"New":{"a":[1]}},"NetworkingConfig":null}`,
			`{"Image":"<i>","Big":12345678901234567890,"HostConfig":{"Memory":1e3,"NetworkMode":"arca-b00000000000","Dns":["9.9.9.9"],"New":{"a":[1]}},` +
				`"NetworkingConfig":{"EndpointsConfig":{"arca-b00000000000":{"DriverOpts":{"network.arca.dev/hostname":"c1"}}}}}`,
		},
		{
			"by name, with all there is of an endpoint",
			`{"HostConfig":{"NetworkMode":"web","Dns":["9.9.9.9"]},"NetworkingConfig":{"EndpointsConfig":{"web":{"IPAMConfig":{"IPv4Address":"10.88.0.9","LinkLocalIPs":["169.254.1.1"]},"Aliases":["a","b"],"MacAddress":"02:42:00:00:00:09","NetworkID":"a1","DriverOpts":{"x":"y"},"GwPriority":7}}}}`,
			`{"HostConfig":{"NetworkMode":"arca-a11111111111","Dns":["9.9.9.9"]},"NetworkingConfig":{"EndpointsConfig":{"arca-a11111111111":{"IPAMConfig":{"IPv4Address":"10.88.0.9","LinkLocalIPs":["169.254.1.1"]},"Aliases":["a","b"],"MacAddress":"02:42:00:00:00:09","DriverOpts":{"x":"y","network.arca.dev/aliases":"a,b","network.arca.dev/hostname":"c1","network.arca.dev/link-local-addresses":"169.254.1.1","network.arca.dev/mac-address":"02:42:00:00:00:09"},"GwPriority":7}}}}`,
		},
		{
			"by the beginning of an id, on two networks",
			`{"HostConfig":{"NetworkMode":"a11","Dns":["9.9.9.9"]},"NetworkingConfig":{"EndpointsConfig":{"a11":null,"db":{}}}}`,
			`{"HostConfig":{"NetworkMode":"arca-a11111111111","Dns":["9.9.9.9"]},"NetworkingConfig":{"EndpointsConfig":{"arca-a11111111111":{"DriverOpts":{"network.arca.dev/hostname":"c1"}},"arca-a22222222222":{"DriverOpts":{"network.arca.dev/hostname":"c1"}}}}}`,
		},
		{
			"in another case, as decoders take it",
			`{"hostconfig":{"networkmode":"web","dns":["9.9.9.9"]}}`,
			`{"hostconfig":{"networkmode":"arca-a11111111111","dns":["9.9.9.9"]},"NetworkingConfig":{"EndpointsConfig":{"arca-a11111111111":{"DriverOpts":{"network.arca.dev/hostname":"c1"}}}}}`,
		},
		{
			"by the id of host", `{"HostConfig":{"NetworkMode":"c3"},"NetworkingConfig":{}}`,
			`{"HostConfig":{"NetworkMode":"host"},"NetworkingConfig":{}}`,
		},
		{
			"links, which only the engine knows",
			`{"HostConfig":{"NetworkMode":"web"},"NetworkingConfig":{"EndpointsConfig":{"web":{"Links":["x:y"]}}}}`,
			`{"HostConfig":{"NetworkMode":"arca-a11111111111","Dns":["10.88.0.1"]},"NetworkingConfig":{"EndpointsConfig":{"arca-a11111111111":{"Links":["x:y"],"DriverOpts":{"network.arca.dev/hostname":"c1","network.arca.dev/name-server":"10.88.0.1"}}}}}`,
		},
		{
			"links of the default network", `{"HostConfig":{"Links":["db:database"],"Dns":["9.9.9.9"]}}`,
			`{"HostConfig":{"Links":["db:database"],"Dns":["9.9.9.9"],"NetworkMode":"arca-b00000000000"},"NetworkingConfig":{"EndpointsConfig":{"arca-b00000000000":{"DriverOpts":{"network.arca.dev/hostname":"c1"},"Links":["db:database"]}}}}`,
		},
		{
			"a network that is not there, and what follows the object",
			`{"HostConfig":{"NetworkMode":"nope"}} x`, `{"HostConfig":{"NetworkMode":"nope"}} x`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			request, err := parseCreation([]byte(c.in))
			if err != nil || request == nil {
				t.Fatal(request, err)
			}
			places := placedAt(t, request.refs())
			if err := request.check(places); err != nil {
				t.Fatal(err)
			}
			got := string(request.onShadows("c1", places))
			if diff := cmp.Diff(ordered(c.out), ordered(got)); diff != "" {
				t.Errorf("got %s\n%s", got, diff)
			}
		})
	}
}

// ordered writes JSON with its keys in order, for comparing; numbers stay as they are written.
func ordered(s string) string {
	decoder := json.NewDecoder(strings.NewReader(s))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return s
	}
	out, _ := json.MarshalIndent(v, "", " ")
	return string(out) + s[decoder.InputOffset():]
}

// What passes as it is: modes that are the engine's, and what it will refuse.
func TestCreationThatIsNotOurs(t *testing.T) {
	for _, in := range []string{
		`{"HostConfig":{"NetworkMode":"host"}}`, `{"HostConfig":{"NetworkMode":"none"}}`, `{"HostConfig":{"NetworkMode":"container:x"}}`,
		`{"NetworkDisabled":true}`,
		``, `{"Image":`, `[]`, `"x"`, `null`, `{"HostConfig":[]}`, `{"HostConfig":{"NetworkMode":7}}`, `{"NetworkingConfig":{"EndpointsConfig":[]}}`, `{"NetworkDisabled":"yes"}`,
	} {
		request, err := parseCreation([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
		}
		if request != nil && !request.off && len(request.refs()) > 0 {
			t.Errorf("%s: wants %v", in, request.refs())
		}
	}
}

func TestCreationIsRefused(t *testing.T) {
	for in, want := range map[string]string{
		`{"HostConfig":{},"hostConfig":{"NetworkMode":"host"}}`:                                        "invalid JSON: HostConfig is given more than once",
		`{"HostConfig":{"NetworkMode":"web","networkmode":"host"}}`:                                    "invalid JSON: NetworkMode is given more than once",
		`{"NetworkingConfig":{"EndpointsConfig":{"bridge":{"IPAMConfig":{"IPv4Address":"1.2.3.4"}}}}}`: "invalid config for network bridge: invalid endpoint settings:\nuser-specified IP address is supported on user-defined networks only",
		`{"NetworkingConfig":{"EndpointsConfig":{"default":{"Aliases":["a"]}}}}`:                       "invalid config for network default: invalid endpoint settings:\nnetwork-scoped aliases are only supported for user-defined networks",
	} {
		request, err := parseCreation([]byte(in))
		if err == nil {
			err = request.check(placedAt(t, request.refs()))
		}
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.Status != http.StatusBadRequest || refusal.Message != want {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

func TestFind(t *testing.T) {
	networks := append(list{{ID: "ffff", Name: "a1"}, {ID: "eeee", Name: "twice"}, {ID: "dddd", Name: "twice"}}, testNetworks...)
	for ref, want := range map[string]string{
		"ffff": "a1", "a1": "a1", "a11": "web", "web": "web",
		"a":     "network a is ambiguous (2 matches found based on ID prefix)",
		"twice": "network twice is ambiguous (2 matches found on name)",
		"nope":  "network nope not found",
	} {
		n, err := find(networks, ref)
		got := n.Name
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", ref, got, want)
		}
	}
}
