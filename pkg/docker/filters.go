// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// filters are the values of each filter that a client has given. A filter without
// values filters nothing.
type filters map[string]map[string]bool

// parseFilters reads both forms: {"name":{"a":true}}, and {"name":["a"]} of old clients.
func parseFilters(s string) (filters, error) {
	if s == "" {
		return filters{}, nil
	}
	f := filters{}
	if json.Unmarshal([]byte(s), &f) == nil {
		return f, nil
	}
	var old map[string][]string
	if json.Unmarshal([]byte(s), &old) != nil {
		return nil, badRequest("invalid filter")
	}
	f = filters{}
	for key, values := range old {
		f[key] = map[string]bool{}
		for _, v := range values {
			f[key][v] = true
		}
	}
	return f, nil
}

func (f filters) only(accepted ...string) error {
	for key := range f {
		if !slices.Contains(accepted, key) {
			return badRequest("invalid filter '%s'", key)
		}
	}
	return nil
}

func (f filters) values(key string) (out []string) {
	for v := range f[key] {
		out = append(out, v)
	}
	slices.Sort(out)
	return out
}

// is tells whether a value is one of the filter's.
func (f filters) is(key, value string) bool { return len(f[key]) == 0 || f[key][value] }

// matcher tells whether a value is one of the filter's, or matches one as a
// regular expression.
func (f filters) matcher(key string) func(value string) bool {
	var patterns []*regexp.Regexp
	for pattern := range f[key] {
		if p, err := regexp.Compile(pattern); err == nil {
			patterns = append(patterns, p)
		}
	}
	return func(value string) bool {
		return f.is(key, value) || slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(value) })
	}
}

// begins tells whether a value begins with one of the filter's.
func (f filters) begins(key, value string) bool {
	if f.is(key, value) {
		return true
	}
	for prefix := range f[key] {
		if strings.HasPrefix(value, prefix) {
			return true
		}
	}
	return false
}

// have tells whether labels have all that the filter names: key, or key=value.
func (f filters) have(key string, labels map[string]string) bool {
	for want := range f[key] {
		k, v, valued := strings.Cut(want, "=")
		if has, ok := labels[k]; !ok || valued && v != has {
			return false
		}
	}
	return true
}

// networkFilter selects networks.
type networkFilter struct {
	filters
	name, id        func(string) bool
	byUse, dangling bool
	until           time.Time
}

func listFilter(s string) (networkFilter, error) {
	f, err := parseFilters(s)
	if err != nil {
		return networkFilter{}, err
	}
	if err := f.only("dangling", "driver", "id", "label", "name", "scope", "type"); err != nil {
		return networkFilter{}, err
	}
	return newNetworkFilter(f)
}

// pruneFilter selects what nobody uses.
func pruneFilter(s string) (networkFilter, error) {
	f, err := parseFilters(s)
	if err != nil {
		return networkFilter{}, err
	}
	if err := f.only("label", "label!", "until"); err != nil {
		return networkFilter{}, err
	}
	n, err := newNetworkFilter(f)
	n.byUse, n.dangling = true, true
	return n, err
}

func newNetworkFilter(f filters) (networkFilter, error) {
	n := networkFilter{filters: f, name: f.matcher("name"), id: f.matcher("id")}
	if values := f.values("dangling"); len(values) > 1 {
		return n, badRequest(`got more than one value for filter key "dangling"`)
	} else if len(values) == 1 {
		n.byUse = true
		switch values[0] {
		case "1", "true":
			n.dangling = true
		case "0", "false":
		default:
			return n, badRequest(`invalid value for filter 'dangling': must be "true" (or "1"), or "false" (or "0")`)
		}
	}
	for _, t := range f.values("type") {
		if t != "builtin" && t != "custom" {
			return n, badRequest("invalid value for filter 'type': must be 'builtin' or 'custom'")
		}
	}
	if values := f.values("until"); len(values) > 1 {
		return n, badRequest("invalid filter: 'until' cannot be specified more than once")
	} else if len(values) == 1 {
		var err error
		if n.until, err = parseTime(values[0], time.Now()); err != nil {
			return n, badRequest("%v", err)
		}
	}
	return n, nil
}

func (f networkFilter) selects(n *dockerNetwork) bool {
	if !f.is("driver", n.Driver) || !f.is("scope", n.Scope) || !f.name(n.Name) || !f.id(n.ID) || !f.have("label", n.Labels) {
		return false
	}
	if _, given := f.filters["label!"]; given && f.have("label!", n.Labels) {
		return false
	}
	used := isPredefined(n.Name) || len(n.containers) > 0
	if f.byUse && f.dangling == used {
		return false
	}
	if types := f.filters["type"]; len(types) > 0 && !types[typeOf(n.Name)] {
		return false
	}
	return f.until.IsZero() || !n.Created.After(f.until)
}

func typeOf(name string) string {
	if isPredefined(name) {
		return "builtin"
	}
	return "custom"
}

// parseTime reads a duration before now, a time, or seconds since 1970.
func parseTime(s string, now time.Time) (time.Time, error) {
	if strings.TrimSpace(s) == "" {
		return time.Time{}, fmt.Errorf("failed to parse value as time or duration: value is empty")
	}
	if d, err := time.ParseDuration(s); s != "0" && err == nil {
		return now.Add(-d).UTC(), nil
	}
	// A date without a zone is the machine's.
	location := now.Location()
	var err error
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15Z07:00", "2006-01-02Z07:00",
		"2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02",
	} {
		var t time.Time
		if t, err = time.ParseInLocation(layout, s, location); err == nil {
			return t.UTC(), nil
		}
	}
	if strings.Contains(s, "-") {
		return time.Time{}, err
	}
	t, err := parseUnix(s)
	if err != nil {
		return t, fmt.Errorf("failed to parse value as time or duration: %w", err)
	}
	return t, nil
}
