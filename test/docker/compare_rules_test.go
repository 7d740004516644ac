// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// TestComparison: what differs is found wherever it is, and what is meant is
// left out by story, request and field together.
func TestComparison(t *testing.T) {
	s := &story{
		name:     "s",
		requests: []request{{method: "POST", path: "/networks/create", body: "n1"}, {method: "GET", path: "/networks/n1"}},
		archive:  &txtar.Archive{Files: []txtar.File{{Data: []byte(`{"IPv4Address": "10.1.0.9"}`)}}},
	}
	answers := func(message string, options map[string]any) []answer {
		return []answer{{
			request: "GET /x", status: 200, header: map[string]string{"Ostype": "linux"},
			body: map[string]any{"message": message, "Options": options, "List": []any{"a", map[string]any{"b": 1.0}}},
		}}
	}
	engine := answers("one", map[string]any{"a": "1", "b": "2"})
	same := answers("one", map[string]any{"b": "2", "a": "1"})
	if d := differences(s, engine, same); len(d) != 0 {
		t.Errorf("differences of the same: %v", d)
	}
	other := append(answers("two", map[string]any{"a": "1"}), answer{index: 1, request: "GET /y", status: 404})
	other[0].header = nil
	var fields []string
	all := differences(s, engine, other)
	for _, d := range all {
		fields = append(fields, d.request+" "+d.field)
	}
	want := []string{
		"GET /x body.Options.b", "GET /x body.message", "GET /x header.Ostype",
		"GET /y status",
	}
	if !reflect.DeepEqual(fields, want) {
		t.Errorf("differences in %q, want %q", fields, want)
	}
	on := []*meant{
		{Story: "s", Request: "/x", Field: "body.", Reason: "r"},
		{Story: "other", Reason: "r"},
		{Story: "s", Request: "/y", Made: "n2", Field: "status", Reason: "r"},
		{Story: "s", Request: "/y", Made: "n1", Field: "status", Reason: "r"},
	}
	fields = nil
	for _, d := range unmeant(all, on) {
		fields = append(fields, d.request+" "+d.field)
	}
	if want := []string{"GET /x header.Ostype"}; !reflect.DeepEqual(fields, want) {
		t.Errorf("not meant: %q, want %q", fields, want)
	}
	if !on[0].used || on[1].used || on[2].used || !on[3].used {
		t.Errorf("used: %v %v %v %v, want true false false true", on[0].used, on[1].used, on[2].used, on[3].used)
	}
	other[0].status, fields = 500, nil
	for _, d := range differences(s, engine, other[:1]) {
		fields = append(fields, d.field)
	}
	if want := []string{"body.message", "status"}; !reflect.DeepEqual(fields, want) {
		t.Errorf("differences of an error in %q, want %q", fields, want)
	}
}

// TestChosenAddresses: of an endpoint's address only its subnet counts, unless it
// was asked for.
func TestChosenAddresses(t *testing.T) {
	s := &story{archive: &txtar.Archive{Files: []txtar.File{{Data: []byte(`{"IPv4Address": "10.1.0.9"}`)}}}}
	got := s.chosen(map[string]string{
		"a.IPv4Address": `"10.1.0.3/24"`, "b.IPv4Address": `"10.1.0.9/24"`, "c.IPv4Address": `""`,
		"d.IPAddress": `"10.1.0.3"`, "d.IPPrefixLen": "16", "d.Gateway": `"10.1.0.1"`,
		"e.GlobalIPv6Address": `"fd00::3"`, "e.GlobalIPv6PrefixLen": "64",
	})
	want := map[string]string{
		"a.IPv4Address": "any of 10.1.0.0/24", "b.IPv4Address": `"10.1.0.9/24"`, "c.IPv4Address": `""`,
		"d.IPAddress": "any of 10.1.0.0/16", "d.IPPrefixLen": "16", "d.Gateway": `"10.1.0.1"`,
		"e.GlobalIPv6Address": "any of fd00::/64", "e.GlobalIPv6PrefixLen": "64",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
