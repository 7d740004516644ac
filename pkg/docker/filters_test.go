// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/network"
)

func TestListFilter(t *testing.T) {
	web := &dockerNetwork{Network: network.Network{Name: "web", ID: "abc123", Driver: "bridge", Scope: "local", Labels: map[string]string{"a": "1", "b": ""}}, containers: []string{"c"}}
	idle := &dockerNetwork{Network: network.Network{Name: "idle", ID: "def456", Driver: "overlay", Scope: "local"}}
	bridge := &dockerNetwork{Network: network.Network{Name: "bridge", ID: "fff", Driver: "bridge", Scope: "local"}}
	for filter, want := range map[string]string{
		``:                                   "web idle bridge",
		`{}`:                                 "web idle bridge",
		`{"driver":{"bridge":true}}`:         "web bridge",
		`{"driver":["bridge","overlay"]}`:    "web idle bridge",
		`{"name":["e"]}`:                     "web idle bridge",
		`{"name":["^w"]}`:                    "web",
		`{"name":["["]}`:                     "",
		`{"name":[]}`:                        "web idle bridge",
		`{"id":["^(abc|fff)"]}`:              "web bridge",
		`{"id":["web"]}`:                     "",
		`{"label":["a"]}`:                    "web",
		`{"label":["a=1","b"]}`:              "web",
		`{"label":["a=2"]}`:                  "",
		`{"label":["a=1","c"]}`:              "",
		`{"scope":["swarm"]}`:                "",
		`{"type":["builtin"]}`:               "bridge",
		`{"type":["custom"]}`:                "web idle",
		`{"type":["custom","builtin"]}`:      "web idle bridge",
		`{"dangling":["true"]}`:              "idle",
		`{"dangling":{"0":true}}`:            "web bridge",
		`{"driver":["bridge"],"name":["w"]}`: "web",
	} {
		f, err := listFilter(filter)
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		var got []string
		for _, n := range []*dockerNetwork{web, idle, bridge} {
			if f.selects(n) {
				got = append(got, n.Name)
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %q, want %q", filter, s, want)
		}
	}
	for filter, want := range map[string]string{
		`{"foo":["a"]}`:                    "invalid filter 'foo'",
		`{"until":["1h"]}`:                 "invalid filter 'until'",
		`[]`:                               "invalid filter",
		`{"name":"web"}`:                   "invalid filter",
		`{`:                                "invalid filter",
		`{"type":["x"]}`:                   "invalid value for filter 'type': must be 'builtin' or 'custom'",
		`{"dangling":["x"]}`:               `invalid value for filter 'dangling': must be "true" (or "1"), or "false" (or "0")`,
		`{"dangling":["true","false"]}`:    `got more than one value for filter key "dangling"`,
		`{"dangling":{"1":true,"0":true}}`: `got more than one value for filter key "dangling"`,
	} {
		_, err := listFilter(filter)
		wantError(t, err, 400, want)
	}
}

func TestPruneFilter(t *testing.T) {
	old := &dockerNetwork{Network: network.Network{Name: "old", Created: time.Now().Add(-time.Hour), Labels: map[string]string{"keep": "1"}}}
	fresh := &dockerNetwork{Network: network.Network{Name: "fresh", Created: time.Now()}}
	for filter, want := range map[string]string{
		``: "old fresh", `{"until":["10m"]}`: "old", `{"label":["keep"]}`: "old", `{"label!":["keep"]}`: "fresh", `{"label!":["keep=2"]}`: "old fresh",
	} {
		f, err := pruneFilter(filter)
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		var got []string
		for _, n := range []*dockerNetwork{old, fresh} {
			if f.selects(n) {
				got = append(got, n.Name)
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %q, want %q", filter, s, want)
		}
	}
	_, err := pruneFilter(`{"name":["a"]}`)
	wantError(t, err, 400, "invalid filter 'name'")
	_, err = pruneFilter(`{"until":["1h","2h"]}`)
	wantError(t, err, 400, "invalid filter: 'until' cannot be specified more than once")
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	for s, want := range map[string]string{
		"1h":                   "2026-05-04T02:02:01Z",
		"2020-01-02":           "2020-01-02T00:00:00Z",
		"2020-01-02Z":          "2020-01-02T00:00:00Z",
		"2020-01-02T03":        "2020-01-02T03:00:00Z",
		"2020-01-02T03:04":     "2020-01-02T03:04:00Z",
		"2020-01-02T03:04:05":  "2020-01-02T03:04:05Z",
		"2020-01-02T03+01:00":  "2020-01-02T02:00:00Z",
		"2020-01-02T03:04:05Z": "2020-01-02T03:04:05Z",
		"0":                    "1970-01-01T00:00:00Z",
		"60.5":                 "1970-01-01T00:01:00.5Z",
	} {
		got, err := parseTime(s, now)
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s: %v, %v, want %s", s, got, err, want)
		}
	}
	for _, s := range []string{"", " ", "x", "2020-13-01", "1.x", "1." + strings.Repeat("1", 21)} {
		if got, err := parseTime(s, now); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, v := range []string{"1.24", "1.40", "1.56"} {
		if err := checkVersion(v); err != nil {
			t.Error(err)
		}
	}
	wantError(t, checkVersion("1.23"), 400, "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version")
	wantError(t, checkVersion("1.57"), 400, "client version 1.57 is too new. Maximum supported API version is 1.56")
	wantError(t, checkVersion("2"), 400, "client version 2 is too new. Maximum supported API version is 1.56")
	if !olderThan("1.9", "1.10") || olderThan("1.10", "1.9") || olderThan("1.40", "1.40") {
		t.Error("versions are not compared number by number")
	}
}

// wantError wants an error that is answered so.
func wantError(t *testing.T, err error, code int, message string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %d %s", code, message)
		return
	}
	if c, m := statusOf(err); c != code || m != message {
		t.Errorf("%d %s\nwant %d %s", c, m, code, message)
	}
}
