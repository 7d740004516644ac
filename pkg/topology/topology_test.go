// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package topology_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

var update = flag.Bool("update", false, "rewrite the rows in testdata")

// TestGolden reads each testdata/*.txtar: YAML objects, and the rows that they
// stand for.
func TestGolden(t *testing.T) {
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
			in, want := archive.Files[0], archive.Files[1]
			got := render(rowsOf(t, string(in.Data)))
			if *update {
				archive.Files[1].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

func rowsOf(t *testing.T, documents string) []ovnsync.Row {
	t.Helper()
	var rows []ovnsync.Row
	network := &v1alpha1.Network{}
	for _, doc := range strings.Split(documents, "\n---\n") {
		var kind struct{ Kind string }
		if err := yaml.Unmarshal([]byte(doc), &kind); err != nil {
			t.Fatal(err)
		}
		var (
			more []ovnsync.Row
			err  error
		)
		switch kind.Kind {
		case "Shared":
			more = append(topology.Shared(), topology.Uplink("this-host")...)
		case "Network":
			more, err = topology.Network(parse(t, doc, network))
		case "Attachment":
			more, err = topology.Attachment(parse(t, doc, &v1alpha1.Attachment{}), network)
		default:
			t.Fatalf("unknown kind %q", kind.Kind)
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, more...)
	}
	return rows
}

func parse[T runtime.Object](t *testing.T, doc string, into T) T {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(doc), into); err != nil {
		t.Fatal(err)
	}
	return into
}

// render writes rows as text: table and id, then the columns that the row
// owns, then its memberships.
func render(rows []ovnsync.Row) string {
	var b strings.Builder
	for _, r := range rows {
		model := reflect.ValueOf(r.Model).Elem()
		fmt.Fprintf(&b, "%s %s\n", model.Type().Name(), r.ID)
		for i := range model.NumField() {
			column := model.Type().Field(i).Tag.Get("ovsdb")
			if slices.Contains(r.Columns, column) {
				value := model.Field(i)
				if value.Kind() == reflect.Pointer && !value.IsNil() {
					value = value.Elem()
				}
				fmt.Fprintf(&b, "  %s: %v\n", column, value)
			}
		}
		for _, m := range r.Members {
			value := m.Value
			if value == "" {
				value = "this row"
			}
			fmt.Fprintf(&b, "  in %s %s %s: %s\n", m.Table, m.ID, m.Column, value)
		}
		for _, ref := range r.References {
			if ref.ID != "" {
				fmt.Fprintf(&b, "  %s: %s %s\n", ref.Column, ref.Table, ref.ID)
			}
		}
	}
	return b.String()
}

// TestIncomplete: an object whose status is not filled yet has no rows.
func TestIncomplete(t *testing.T) {
	if rows, err := topology.Network(&v1alpha1.Network{}); err == nil {
		t.Errorf("network without subnets: got rows %v", rows)
	}
	if rows, err := topology.Attachment(&v1alpha1.Attachment{}, &v1alpha1.Network{}); err == nil {
		t.Errorf("attachment without addresses: got rows %v", rows)
	}
	broken := &v1alpha1.Network{Status: v1alpha1.NetworkStatus{Subnets: []v1alpha1.SubnetStatus{{CIDR: "10.0.0.0/24", Gateway: "nope"}}}}
	if _, err := topology.Network(broken); err == nil || !strings.Contains(err.Error(), "status.subnets[0].gateway") {
		t.Errorf("broken gateway: got error %v, want one that names the field", err)
	}
}

// TestUniqueIDs: within a table no two rows of one store have the same id.
func TestUniqueIDs(t *testing.T) {
	n := &v1alpha1.Network{}
	n.Name, n.UID = "join", "11111111-0000-0000-0000-000000000001" // as unlucky as names get
	n.Status.Subnets = []v1alpha1.SubnetStatus{{CIDR: "10.0.0.0/24", Gateway: "10.0.0.1"}}
	more, err := topology.Network(n)
	if err != nil {
		t.Fatal(err)
	}
	seenIDs, seenNames := map[string]bool{}, map[string]bool{}
	for _, r := range append(topology.Shared(), more...) {
		model := reflect.ValueOf(r.Model).Elem()
		id := model.Type().Name() + " " + r.ID
		if seenIDs[id] {
			t.Errorf("two rows %s", id)
		}
		seenIDs[id] = true
		if f := model.FieldByName("Name"); f.IsValid() && f.Kind() == reflect.String {
			name := model.Type().Name() + " " + f.String()
			if seenNames[name] {
				t.Errorf("two rows named %s", name)
			}
			seenNames[name] = true
		}
	}
}
