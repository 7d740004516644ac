// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"
)

// TestCount: which requests are lost, and the longest time without an answer.
func TestCount(t *testing.T) {
	for pattern, want := range map[string]loss{
		"++++":       {Sent: 4},
		"+--+-+":     {Sent: 6, Lost: 3, Gap: 20 * time.Millisecond},
		"---+":       {Sent: 4, Lost: 3, Gap: 30 * time.Millisecond},
		"+---":       {Sent: 4, Lost: 3, Gap: 30 * time.Millisecond},
		"":           {},
		"+-+----+--": {Sent: 10, Lost: 7, Gap: 40 * time.Millisecond},
	} {
		var sent []time.Time
		var answered []bool
		for i, c := range pattern {
			sent = append(sent, time.Unix(0, 0).Add(time.Duration(i)*pingEvery))
			answered = append(answered, c == '+')
		}
		if got := count(sent, answered); got != want {
			t.Errorf("%q: %+v, want %+v", pattern, got, want)
		}
	}
}

// TestCompare: what was acknowledged and is not there is lost, what was deleted
// and is there was not deleted, and of what nobody answered nothing is known.
func TestCompare(t *testing.T) {
	fates := map[string]fate{"kept": there, "lost": there, "deleted": gone, "undead": gone, "asked": unknown}
	err := compare("network", fates, []string{"kept", "undead", "other"})
	if err == nil || strings.Count(err.Error(), "\n") != 1 || !strings.Contains(err.Error(), "network lost was acknowledged, and is LOST") ||
		!strings.Contains(err.Error(), "network undead was deleted, and is there") {
		t.Errorf("got %v", err)
	}
	if err := compare("network", fates, []string{"kept", "lost", "asked"}); err != nil {
		t.Errorf("all as acknowledged: %v", err)
	}
}

// TestDifferences: rows that are alike are told by how often they are there.
func TestDifferences(t *testing.T) {
	before := machine{rows: []string{"a", "a", "b"}, links: []string{"lo"}}
	err := before.differences(machine{rows: []string{"a", "b"}, links: []string{"lo", "x"}})
	if err == nil || err.Error() != "northbound row is missing: a\ninterface more than before: x" {
		t.Errorf("got %v", err)
	}
	if err := before.differences(before); err != nil {
		t.Errorf("with itself: %v", err)
	}
}
