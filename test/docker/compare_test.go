// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
)

// difference is a field of an answer in which two are not alike.
type difference struct {
	story, request, field string
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

// differences compares two sets of answers to a story, field by field.
func differences(s *story, engine, other []answer) (out []difference) {
	for i := range max(len(engine), len(other)) {
		var a, b map[string]string
		var request string
		if i < len(engine) {
			a, request = engine[i].fields(), engine[i].request
		}
		if i < len(other) {
			b, request = other[i].fields(), other[i].request
		}
		names := map[string]bool{}
		for name := range a {
			names[name] = true
		}
		for name := range b {
			names[name] = true
		}
		for _, name := range sortedKeys(names) {
			x, y := missing, missing
			if v, ok := a[name]; ok {
				x = v
			}
			if v, ok := b[name]; ok {
				y = v
			}
			if x != y {
				out = append(out, difference{s.name, request, name, x, y})
			}
		}
	}
	return out
}

// fields are an answer's parts by their paths: status, header.Ostype, body.IPAM.Config.0.Subnet.
func (a answer) fields() map[string]string {
	out := map[string]string{"status": fmt.Sprint(a.status)}
	for k, v := range a.header {
		out["header."+k] = v
	}
	if a.text != "" {
		out["text"] = a.text
	}
	flatten("body", a.body, out)
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
	// Story and Field are patterns as of path.Match; Request is a part of one.
	Story, Request, Field string
	Reason                string
	used                  bool
}

func (m *meant) covers(d difference) bool {
	story, err := path.Match(m.Story, d.story)
	if err != nil {
		return false
	}
	field, err := path.Match(m.Field, d.field)
	return err == nil && story && field && strings.Contains(d.request, m.Request)
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
