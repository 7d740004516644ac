// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// difference is a field of an answer in which two are not alike.
type difference struct {
	story, request, field string
	made                  string // the last request to make a network, this one included
	engine, other         string
}

func (d difference) String() string {
	return fmt.Sprintf("story %s: %s\n  %s is %s, the engine's is %s", d.story, shortened(d.request), d.field, d.other, d.engine)
}

func shortened(s string) string {
	if len(s) > 300 {
		return s[:300] + "…"
	}
	return s
}

// missing is the value of a field that is not there.
const missing = "(missing)"

// differences compares two sets of answers to a story, field by field. A request
// that was asked several times may have several answers in each.
func differences(s *story, engine, other []answer) (out []difference) {
	type place struct{ request, nth int }
	at := func(answers []answer) map[place]answer {
		byPlace, count := map[place]answer{}, map[int]int{}
		for _, a := range answers {
			byPlace[place{a.index, count[a.index]}] = a
			count[a.index]++
		}
		return byPlace
	}
	a, b := at(engine), at(other)
	places := slices.Collect(maps.Keys(a))
	for p := range b {
		if _, ok := a[p]; !ok {
			places = append(places, p)
		}
	}
	slices.SortFunc(places, func(x, y place) int { return cmp.Or(x.request-y.request, x.nth-y.nth) })
	for _, p := range places {
		x, y := a[p], b[p]
		for _, d := range compare(s.chosen(x.fields()), s.chosen(y.fields())) {
			d.story, d.request, d.made = s.name, cmp.Or(x.request, y.request), s.made(p.request)
			out = append(out, d)
		}
	}
	return out
}

// addressFields are names of fields with an endpoint's address, and those of its
// prefix length where it is told apart.
var addressFields = map[string]string{"IPv4Address": "", "IPv6Address": "", "IPAddress": "IPPrefixLen", "GlobalIPv6Address": "GlobalIPv6PrefixLen"}

// chosen are the fields of an answer in which an endpoint's address that the story
// does not name is any of its subnet: which one is free first is not an answer.
func (s *story) chosen(fields map[string]string) map[string]string {
	out := maps.Clone(fields)
	for name, value := range fields {
		i := strings.LastIndexByte(name, '.') + 1
		length, ok := addressFields[name[i:]]
		text := strings.Trim(value, `"`)
		if length != "" {
			text += "/" + fields[name[:i]+length]
		}
		p, err := netip.ParsePrefix(text)
		if !ok || err != nil || strings.Contains(string(s.archive.Files[0].Data), `"`+p.Addr().String()+`"`) {
			continue
		}
		out[name] = fmt.Sprintf("any of %s", p.Masked())
	}
	return out
}

// made is the last request to make a network, up to one of the story.
func (s *story) made(index int) string {
	for i := min(index, len(s.requests)-1); i >= 0; i-- {
		if r := s.requests[i]; r.method == "POST" && strings.HasSuffix(r.path, "/networks/create") {
			return r.String()
		}
	}
	return ""
}

// compare compares the fields of two answers. Where one is an error and the other
// is none, only that and what the error says count.
func compare(engine, other map[string]string) (out []difference) {
	names := maps.Clone(engine)
	maps.Copy(names, other)
	for _, name := range sortedKeys(names) {
		if engine["status"] != other["status"] && name != "status" && name != "body.message" {
			continue
		}
		x, y := missing, missing
		if v, ok := engine[name]; ok {
			x = v
		}
		if v, ok := other[name]; ok {
			y = v
		}
		if x != y {
			out = append(out, difference{field: name, engine: x, other: y})
		}
	}
	return out
}

// fields are an answer's parts by their paths: status, header.Ostype, body.IPAM.Config.0.Subnet.
func (a answer) fields() map[string]string {
	out := map[string]string{}
	if a.status == 0 {
		return out // there is none
	}
	out["status"] = fmt.Sprint(a.status)
	for k, v := range a.header {
		out["header."+k] = v
	}
	if a.text != "" {
		out["text"] = a.text
	}
	if a.body != nil {
		flatten("body", a.body, out)
	}
	return out
}

func flatten(at string, v any, out map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) > 0 {
			for k, child := range v {
				flatten(at+"."+k, child, out)
			}
			return
		}
	case []any:
		if len(v) > 0 {
			for i, child := range v {
				flatten(fmt.Sprintf("%s.%d", at, i), child, out)
			}
			return
		}
	}
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // it came from JSON
	}
	out[at] = string(raw)
}

// meant is a difference that is on purpose.
type meant struct {
	// Story is a story's name. Request is a part of the request, Made one of the
	// last that was to make a network, Field is what the field begins with; what
	// is empty is any.
	Story, Request, Made, Field string
	Reason                      string
	used                        bool
}

func (m *meant) covers(d difference) bool {
	return m.Story == d.story && strings.Contains(d.request, m.Request) &&
		strings.Contains(d.made, m.Made) && strings.HasPrefix(d.field, m.Field)
}

// meantDifferences reads testdata/differences.yaml.
func meantDifferences(t *testing.T) (out []*meant) {
	t.Helper()
	raw, err := os.ReadFile("testdata/differences.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(raw, &out); err != nil {
		t.Fatal(err)
	}
	for _, m := range out {
		if m.Story == "" || m.Request+m.Made == "" || m.Reason == "" {
			t.Fatalf("a difference without story, request or reason: %+v", *m)
		}
	}
	return out
}

// unmeant are the differences that no entry covers.
func unmeant(all []difference, on []*meant) (out []difference) {
	for _, d := range all {
		covered := false
		for _, m := range on {
			if m.covers(d) {
				m.used, covered = true, true
			}
		}
		if !covered {
			out = append(out, d)
		}
	}
	return out
}
