// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/moby/moby/client"
)

func refusedRequests(t *testing.T, w *world) {
	w.create(t, "n1", client.NetworkCreateOptions{IPAM: ipam("10.47.0.0/24"), Options: map[string]string{"com.docker.network.bridge.name": "br0"}})
	for _, c := range []struct {
		body    string
		code    int
		message string
	}{
		{`{"Name":"n1"}`, 409, "network with name n1 already exists"},
		{`{"Name":"host"}`, 403, "operation is not permitted on predefined host network "},
		{`{"Name":"n2","Driver":"x"}`, 404, `plugin "x" not found`},
		{`{"Name":"n2","IPAM":{"Config":[{"Subnet":"10.47.0.128/25"}]}}`, 403, "invalid pool request: Pool overlaps with other one on this address space"},
		{`{"Name":"n2","IPAM":{"Config":[{"Subnet":"10.89.0.5/24"}]}}`, 400, "invalid network config:\ninvalid subnet 10.89.0.5/24: it should be 10.89.0.0/24"},
		{`{"Name":"n2","ConfigFrom":{"Network":"nope"}}`, 404, `configuration network "nope" does not exist`},
	} {
		w.refused(t, "POST", "/networks/create", c.body, c.code, c.message)
	}
	a := w.send(t, "POST", "/networks/create", "application/json", `{"Name":"n2","Options":{"com.docker.network.bridge.name":"br0"}}`)
	if a.status != 403 || !strings.Contains(a.body, "networks have same bridge name") {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.refused(t, "GET", "/networks?filters="+`%7B%22foo%22:%5B%22a%22%5D%7D`, "", 400, "invalid filter 'foo'")
	w.refused(t, "GET", "/networks/nope", "", 404, "network nope not found")
	w.refused(t, "GET", "/networks/n1?scope=swarm", "", 404, "network n1 not found")
	w.refused(t, "POST", "/networks/nope/connect", `{"Container":"nope"}`, 404, "No such container: nope")
	w.refused(t, "POST", "/networks/nope/disconnect", `{"Container":"nope"}`, 404, "No such container: nope")
	w.refused(t, "POST", "/networks/nope/disconnect", `{"Container":"nope","Force":true}`, 404, "network nope not found")
	w.refused(t, "POST", "/networks/n1/disconnect", `{"Container":"nope","Force":true}`, 404, "endpoint nope not found")
	if got := fmt.Sprint(w.list(t, nil)); got != "[bridge host n1 none]" {
		t.Errorf("what was refused is there: %s", got)
	}
}

func badInput(t *testing.T, w *world) {
	const create = "/networks/create"
	w.refused(t, "POST", create, `{"Name":"a`, 400, "invalid JSON: unexpected EOF")
	w.refused(t, "POST", create, ` `, 400, "invalid JSON: got EOF while reading request body")
	w.refused(t, "POST", create, `{"Name":"a"}{}`, 400, "unexpected content after JSON")
	w.refused(t, "POST", create, `{"Name":7}`, 400, "invalid JSON: json: cannot unmarshal number into Go struct field CreateRequest.Name of type string")
	w.refused(t, "POST", create, "", 400, "invalid name: name is empty")
	a := w.send(t, "POST", create, "text/plain", `{"Name":"a"}`)
	if want := `{"message":"unsupported Content-Type header (text/plain): must be 'application/json'"}`; a.status != 400 || strings.TrimSpace(a.body) != want {
		t.Errorf("%d %s, want %s", a.status, a.body, want)
	}
	if a = w.send(t, "POST", create, "", `{"Name":"a"}`); a.status != 400 || !strings.Contains(a.body, "malformed Content-Type header ()") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a = w.send(t, "POST", create, "application/json", `{"Name":"`+strings.Repeat("x", 10<<20)+`"}`); a.status != 400 || len(a.body) > 1<<10 {
		t.Errorf("a name of 10 MB: %d %.300s", a.status, a.body)
	}
	if a = w.send(t, "POST", create, "application/json; charset=utf-8", `{"Name":"known","Unknown":{"a":1}}`); a.status != 201 {
		t.Errorf("unknown fields: %d %s", a.status, a.body)
	}
	if a = w.send(t, "DELETE", "/v1.30/networks/known", "", ""); a.status != 204 || a.body != "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.refused(t, "GET", "/v1.99/networks", "", 400, "client version 1.99 is too new. Maximum supported API version is 1.56")
	if a = w.send(t, "GET", "/v1.23/networks", "", ""); a.status != 400 || a.body != "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version\n" {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, unrouted := range [][2]string{{"GET", "/containers/json"}, {"GET", "/v1.40/nope"}, {"PUT", "/networks/a"}, {"GET", "/vx/networks"}, {"HEAD", "/networks"}} {
		if a = w.send(t, unrouted[0], unrouted[1], "", ""); a.status != 404 || unrouted[0] != "HEAD" && strings.TrimSpace(a.body) != `{"message":"page not found"}` {
			t.Errorf("%s: %d %s", unrouted, a.status, a.body)
		}
	}
	// Clients before 1.28 see containers in lists, those before 1.52 no status.
	if a = w.send(t, "GET", "/v1.24/networks?filters=%7B%22name%22:%7B%22none%22:true%7D%7D", "", ""); a.status != 200 || !strings.Contains(a.body, `"Containers":{}`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a = w.send(t, "GET", "/v1.51/networks/bridge", "", ""); a.status != 200 || strings.Contains(a.body, `"Status"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
}
