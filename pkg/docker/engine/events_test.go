// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
)

func TestPeriods(t *testing.T) {
	now := time.Unix(1000, 5)
	const none, same = "none", "same"
	for _, c := range []struct{ query, past, coming string }{
		{"", none, same},
		{"filters=x", none, same},
		{"since=900", "since=900&until=1000.000000005", "since=1000.000000006"},
		{"since=900.5&until=1000&filters=x", same, none},
		{"until=1000.000000005", same, none},
		{"since=900&until=1001", "since=900&until=1000.000000005", "since=1000.000000006&until=1001"},
		{"since=1001", none, same},
		{"since=900&until=800", none, same},
		{"since=x", none, same},
		{"since=900&until=x", none, same},
	} {
		query, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		text := func(q url.Values) string {
			switch {
			case q == nil:
				return none
			case q.Encode() == query.Encode():
				return same
			}
			return q.Encode()
		}
		past, coming := periods(query, now)
		if text(past) != c.past || text(coming) != c.coming {
			t.Errorf("%q: past %s, coming %s; want %s, %s", c.query, text(past), text(coming), c.past, c.coming)
		}
	}
}

// Events of the past are told in the order in which they happened, whoever tells them.
func TestHappened(t *testing.T) {
	all, out := &happened{}, &told{}
	for _, several := range []string{"{\"n\":2,\"timeNano\":20}\n{\"n\":4,\"timeNano\":40}\n", "\x1e{\"n\":1,\"timeNano\":10}\n\x1e{\"n\":3,\"timeNano\":30}\n"} {
		if err := all.write([]byte(several)); err != nil {
			t.Fatal(err)
		}
	}
	want := "\x1e{\"n\":1,\"timeNano\":10}\n{\"n\":2,\"timeNano\":20}\n\x1e{\"n\":3,\"timeNano\":30}\n{\"n\":4,\"timeNano\":40}\n"
	if err := all.writeTo(out); err != nil || out.String() != want {
		t.Errorf("told %q, %v", out, err)
	}
}

type told struct{ strings.Builder }

func (t *told) write(line []byte) error {
	_, err := t.Write(line)
	return err
}

// The engine's end is the end of a stream, also where a client has named a later one:
// it would be told of networks alone, and take it for all there is.
func TestEventsEndWithTheEngine(t *testing.T) {
	dying := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"Type":"container","timeNano":1}`+"\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	networks := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.FormValue("since") != "" { // what is to come
			<-r.Context().Done()
		}
	})
	e, err := New(Options{Address: serve(t, dying), Networks: testNetworks, Log: testr.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	answer, err := client(t, serve(t, e.InFrontOf(networks))).Get(fmt.Sprintf("http://d/events?until=%d", time.Now().Add(time.Hour).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if said, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(said), "container") {
		t.Errorf("told %q, %v", said, err)
	}
}
