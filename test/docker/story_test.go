// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// story is one file of the corpus.
type story struct {
	name, file string
	requests   []request
	archive    *txtar.Archive
}

// request is one of a story, with its variables still in it.
type request struct {
	times        int
	method, path string
	header       map[string]string
	body         string
	remember     string   // the Id of its answer, by this name
	headers      bool     // the answer's headers count too
	only         []string // fields of the answer's body, or all
}

func (r request) String() string {
	s := r.method + " " + r.path
	if r.times > 1 {
		s = fmt.Sprintf("%dx %s", r.times, s)
	}
	for _, k := range sortedKeys(r.header) {
		s += fmt.Sprintf(" (%s: %s)", k, r.header[k])
	}
	if r.body != "" {
		s += " " + r.body
	}
	return s
}

func stories(t *testing.T) (out []*story) {
	t.Helper()
	files, err := filepath.Glob("testdata/corpus/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(archive.Files) == 1 {
			archive.Files = append(archive.Files, txtar.File{Name: "answers"})
		}
		if len(archive.Files) != 2 {
			t.Fatalf("%s has %d parts, want requests and answers", file, len(archive.Files))
		}
		s := &story{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), file: file, archive: archive}
		for block := range strings.SplitSeq(string(archive.Files[0].Data), "\n\n") {
			r, err := parse(block)
			if err != nil {
				t.Fatalf("%s: %v in\n%s", file, err, block)
			}
			if r.method != "" {
				s.requests = append(s.requests, r)
			}
		}
		out = append(out, s)
	}
	return out
}

var (
	first  = regexp.MustCompile(`^(?:(\d+)x )?([A-Z]+) (/\S*.*)$`)
	header = regexp.MustCompile(`^([A-Za-z-]+): ?(.*)$`)
)

func parse(block string) (request, error) {
	r := request{times: 1, header: map[string]string{}}
	var body []string
	for line := range strings.SplitSeq(strings.TrimSpace(block), "\n") {
		name, directive := strings.CutPrefix(line, "@")
		switch {
		case line == "" || strings.HasPrefix(line, "# "):
		case r.method == "":
			m := first.FindStringSubmatch(line)
			if m == nil {
				return r, fmt.Errorf("%q is no request", line)
			}
			if m[1] != "" {
				r.times, _ = strconv.Atoi(m[1])
			}
			r.method, r.path = m[2], m[3]
		case directive && name == "headers":
			r.headers = true
		case directive:
			fields, ok := strings.CutPrefix(name, "only ")
			if !ok {
				return r, fmt.Errorf("%q is unknown", line)
			}
			r.only = strings.Split(fields, ",")
		case strings.HasPrefix(line, "=> "):
			r.remember = strings.TrimPrefix(line, "=> ")
		case len(body) == 0 && header.MatchString(line):
			m := header.FindStringSubmatch(line)
			r.header[m[1]] = m[2]
		default:
			body = append(body, line)
		}
	}
	r.body = strings.Join(body, "\n")
	return r, nil
}

// escaped is a path whose query's values were written plainly.
func escaped(path string) string {
	path, query, ok := strings.Cut(path, "?")
	if !ok {
		return path
	}
	var pairs []string
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		pairs = append(pairs, name+"="+url.QueryEscape(value))
	}
	return path + "?" + strings.Join(pairs, "&")
}

// write keeps answers as those of the engine.
func (s *story) write(answers string) error {
	s.archive.Files[1].Data = []byte(answers)
	return os.WriteFile(s.file, txtar.Format(s.archive), 0o644)
}
