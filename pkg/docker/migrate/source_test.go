// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

const (
	shopID = "0a00000000000000000000000000000000000000000000000000000000000001"
	vlanID = "0a00000000000000000000000000000000000000000000000000000000000002"

	inspected = `[
	{"Name": "shop", "Id": "` + shopID + `", "Created": "2024-05-01T10:00:00.5Z", "Scope": "local", "Driver": "bridge",
	 "EnableIPv6": true, "IPAM": {"Driver": "default", "Options": null, "Config": [
	   {"Subnet": "10.77.0.0/24", "IPRange": "10.77.0.128/25", "Gateway": "10.77.0.1", "AuxiliaryAddresses": {"printer": "10.77.0.9"}}, {"Subnet": "fd00:77::/64"}]},
	 "Internal": false, "Attachable": true, "Ingress": false, "ConfigFrom": {"Network": ""}, "ConfigOnly": false, "Containers": {},
	 "Options": {"com.docker.network.driver.mtu": "1400", "com.docker.network.bridge.name": "br-shop"}, "Labels": {"app": "shop"}},
	{"Name": "vlan", "Id": "` + vlanID + `", "Scope": "local", "Driver": "macvlan", "EnableIPv4": true, "EnableIPv6": false,
	 "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.78.0.0/24"}]}, "Options": {"parent": "eth0"}, "Labels": {}},
	{"Name": "bridge", "Id": "0a00000000000000000000000000000000000000000000000000000000000003", "Scope": "local", "Driver": "bridge", "IPAM": {"Driver": "default", "Config": [{"Subnet": "172.17.0.0/16"}]}}
	]`

	listed = `{"CreatedAt":"2024-05-01 10:00:00.5 +0200 CEST","Driver":"bridge","ID":"0a0000000000","IPv4":"true","IPv6":"false","Internal":"true","Labels":"app=shop,tier=","Name":"shop","Scope":"local"}
{"CreatedAt":"2024-05-01 10:00:00.5 +0200 CEST","Driver":"host","ID":"111111111111","IPv6":"false","Internal":"false","Labels":"","Name":"host","Scope":"local"}
`
)

func TestReadInspect(t *testing.T) {
	got, err := Read(strings.NewReader(inspected))
	if err != nil || len(got) != 3 {
		t.Fatalf("%v %v", got, err)
	}
	s, r := got[0], got[0].Request
	if s.Brief || s.ID != shopID || s.Created.Nanosecond() != 5e8 || r.Name != "shop" || r.Driver != "bridge" || r.Scope != "" || !r.Attachable || r.ConfigFrom != nil ||
		!*r.EnableIPv4 || !*r.EnableIPv6 || len(r.IPAM.Config) != 2 || r.IPAM.Config[0].AuxAddress["printer"].String() != "10.77.0.9" || r.Labels["app"] != "shop" ||
		r.Options["com.docker.network.driver.mtu"] != "1400" {
		t.Errorf("%+v %+v", s, r)
	}
}

func TestReadList(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(listed), "\n")
	for _, form := range []string{listed, "[" + lines[0] + "," + lines[1] + "]"} {
		got, err := Read(strings.NewReader(form))
		if err != nil || len(got) != 2 {
			t.Fatalf("%v %v", got, err)
		}
		s, r := got[0], got[0].Request
		if !s.Brief || len(s.ID) != 64 || !strings.HasPrefix(s.ID, "0a0000000000") || !r.Internal || !*r.EnableIPv4 || *r.EnableIPv6 ||
			r.Labels["app"] != "shop" || len(r.Labels) != 2 || s.Created.UTC().Hour() != 8 {
			t.Errorf("%+v %+v", s, r)
		}
		again, err := Read(strings.NewReader(form))
		if err != nil || again[0].ID != s.ID {
			t.Errorf("another id: %v %v", again, err)
		}
	}
}

func TestReadRefused(t *testing.T) {
	for given, want := range map[string]string{
		``:                                       "there is no network in it",
		`[]`:                                     "there is no network in it",
		`[{"Name": "a"`:                          "after 0 bytes: unexpected EOF",
		`[{"Name": "a", "Id": 5}]`:               "network 1: ",
		`[{"Name": "a"}]`:                        "network 1: the keys Id and Name must be given",
		`{"ID": "0a", "Name": "a"} {"ID": "0b"}`: "network 2: the keys ID and Name must be given",
		`{"ID": "0a", "Name": "a", "IPv6": "maybe"}`: `IPv6: "maybe": must be true or false`,
		`"network"`: "network 1: ",
	} {
		_, err := Read(strings.NewReader(given))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", given, err, want)
		}
	}
}

func TestFromEngine(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	answer := http.StatusOK
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/networks" || r.Method != http.MethodGet {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		w.WriteHeader(answer)
		_, _ = w.Write([]byte(inspected))
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	got, err := FromEngine(context.Background(), "unix://"+socket)
	if err != nil || len(got) != 3 || got[0].ID != shopID {
		t.Errorf("%v %v", got, err)
	}
	answer = http.StatusInternalServerError
	for address, want := range map[string]string{
		"unix://" + socket:       "500 Internal Server Error",
		"unix://" + socket + "x": "no such file or directory",
		"tcp://127.0.0.1:2375":   "must be unix:///PATH",
	} {
		if _, err := FromEngine(context.Background(), address); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "--from: ") {
			t.Errorf("%s: got %v, want %s", address, err, want)
		}
	}
}
