// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the outcomes in testdata")

// Document is one object of a file.
type Document struct {
	Kind string
	text string
}

// Run makes a test of each testdata/*.txtar. The first file in it are the
// documents, the second what outcome has to say of them.
func Run(t *testing.T, outcome func(*testing.T, []Document) string) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(archive.Files) != 2 {
				t.Fatalf("%s holds %d files, want the documents and the outcome", file, len(archive.Files))
			}
			got := outcome(t, split(t, string(archive.Files[0].Data)))
			if *update {
				archive.Files[1].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(archive.Files[1].Data), got); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

func split(t *testing.T, text string) (out []Document) {
	t.Helper()
	for _, doc := range strings.Split(text, "\n---\n") {
		d := Document{text: doc}
		if err := yaml.Unmarshal([]byte(doc), &d); err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

// Into reads the document into an object of its kind, which knows all its fields.
func Into[T any](t *testing.T, d Document, o *T) *T {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(d.text), o); err != nil {
		t.Fatal(err)
	}
	return o
}
