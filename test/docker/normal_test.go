// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	version   = regexp.MustCompile(`Docker/\S+`)
	id        = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	mac       = regexp.MustCompile(`\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b`)
	shortID   = regexp.MustCompile(`id:"[0-9a-f]{12}"`) // of an endpoint, in errors
	sandbox   = regexp.MustCompile(`/[^ "]*/netns/[0-9a-f]{12}`)
	veth      = regexp.MustCompile(`\bveth[0-9a-f]{7}\b`)
	unix      = regexp.MustCompile(`\b\d{10}\.\d{9}\b`)
	moment    = regexp.MustCompile(`\b2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)
	unique    = regexp.MustCompile(`\bfd[0-9a-f]{2}(:[0-9a-f]{0,4}){2,7}(/\d+)?`)
	ambiguous = regexp.MustCompile(`network [0-9a-f] is ambiguous \(\d+ matches|\d+ matches found based on ID prefix: network [0-9a-f] is`)
)

// longest is the length from which on a text is shown by its beginning.
const longest = 2000

// replace puts words for what is by chance.
func (p *player) replace(s string) string {
	if len(s) > longest {
		return fmt.Sprintf("%s… (%d characters)", p.replace(s[:100]), len(s))
	}
	for name, value := range p.vars {
		if name != "i" {
			s = strings.ReplaceAll(s, value, "<"+name+">")
		}
	}
	for name, value := range p.vars {
		if name != "i" {
			s = strings.ReplaceAll(s, value[:12], "<"+name+":12>")
		}
	}
	s = id.ReplaceAllString(s, "<id>")
	s = shortID.ReplaceAllString(s, `id:"<id:12>"`)
	s = sandbox.ReplaceAllString(s, "<sandbox>")
	s = veth.ReplaceAllString(s, "<veth>")
	s = unix.ReplaceAllString(s, "<time>")
	s = moment.ReplaceAllString(s, "<time>")
	for _, kind := range []struct {
		what *regexp.Regexp
		word string
	}{{mac, "<mac>"}, {unique, "<local IPv6>"}} {
		s = kind.what.ReplaceAllStringFunc(s, func(found string) string {
			if strings.Contains(p.given, found) {
				return found
			}
			return kind.word
		})
	}
	return ambiguous.ReplaceAllStringFunc(s, func(m string) string {
		return regexp.MustCompile(`\d+ m|\b[0-9a-f]\b`).ReplaceAllStringFunc(m, func(x string) string {
			if strings.HasSuffix(x, " m") {
				return "<n> m"
			}
			return "<digit>"
		})
	})
}

// normal is a JSON value with words for what is by chance, and lists of named
// objects in the order of their names.
func (p *player) normal(key string, v any) any {
	switch v := v.(type) {
	case string:
		return p.replace(v)
	case json.Number:
		if key == "time" || key == "timeNano" {
			return "<time>"
		}
		return v
	case []any:
		for i := range v {
			v[i] = p.normal(key, v[i])
		}
		slices.SortStableFunc(v, func(a, b any) int { return cmp.Compare(nameOf(a), nameOf(b)) })
		if key == "NetworksDeleted" { // in any order
			slices.SortFunc(v, func(a, b any) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
		return v
	case map[string]any:
		out := map[string]any{}
		for k, child := range v {
			out[p.replace(k)] = p.normal(k, child)
		}
		return out
	}
	return v
}

func nameOf(v any) string {
	if object, ok := v.(map[string]any); ok {
		if name, ok := object["Name"].(string); ok {
			return name
		}
	}
	return ""
}

// String is an answer as the corpus shows it.
func (a answer) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%d", a.request, a.status)
	if t := a.header["Content-Type"]; t != "" {
		b.WriteString(" " + t)
	}
	b.WriteString("\n")
	for _, k := range sortedKeys(a.header) {
		if k != "Content-Type" {
			fmt.Fprintf(&b, "%s: %s\n", k, a.header[k])
		}
	}
	if a.body != nil {
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", " ")
		if err := e.Encode(a.body); err != nil {
			panic(err) // it came from JSON
		}
	}
	if a.text != "" {
		b.WriteString(strings.TrimRight(a.text, "\n") + "\n")
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
