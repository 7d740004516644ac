// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/policy"
)

var update = flag.Bool("update", false, "rewrite the rows in testdata")

// TestGolden reads each testdata/*.txtar: YAML objects, and what becomes of
// the policies among them.
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
			got := outcomeOf(t, string(archive.Files[0].Data))
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

func outcomeOf(t *testing.T, documents string) string {
	t.Helper()
	var (
		networks  []policy.Network
		endpoints []policy.Endpoint
		policies  []*v1alpha1.Policy
	)
	for _, doc := range strings.Split(documents, "\n---\n") {
		var kind struct{ Kind string }
		if err := yaml.Unmarshal([]byte(doc), &kind); err != nil {
			t.Fatal(err)
		}
		n, a, p := &v1alpha1.Network{}, &v1alpha1.Attachment{}, &v1alpha1.Policy{}
		var err error
		switch kind.Kind {
		case "Network":
			if err = yaml.UnmarshalStrict([]byte(doc), n); err == nil {
				one, e := policy.NetworkOf(n)
				networks, err = append(networks, one), e
			}
		case "Attachment":
			err = yaml.UnmarshalStrict([]byte(doc), a)
			endpoints = append(endpoints, policy.Endpoint{Network: a.Spec.Network, Labels: labels.Set(a.Labels)})
		case "Policy":
			err = yaml.UnmarshalStrict([]byte(doc), p)
			policies = append(policies, p)
		default:
			t.Fatalf("unknown kind %q", kind.Kind)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	survey := policy.Look(policies, endpoints)
	verdicts := policy.Judge(policy.Case{Networks: networks, Survey: survey, Policies: policies,
		Held: func(*v1alpha1.Policy) bool { return false }})
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(verdicts)) {
		v := verdicts[name]
		fmt.Fprintf(&b, "policy %s: accepted %v\n", name, v.Accepted())
		for _, s := range [][2]string{{v.Reason, v.Message}, {v.UnresolvedReason, v.Unresolved}} {
			if s[0] != "" {
				fmt.Fprintf(&b, "  %s: %s\n", s[0], s[1])
			}
		}
	}
	policies = slices.DeleteFunc(policies, func(p *v1alpha1.Policy) bool { return !verdicts[p.Name].Accepted() })
	program, err := policy.Compile(policy.Input{Networks: networks, Policies: policies, Selected: survey.Selected})
	if err != nil {
		t.Fatal(err)
	}
	b.WriteString(render(program.Rows))
	return b.String()
}

// render writes rows as text: table and id, then the columns that are not
// empty, then the memberships.
func render(rows []ovnsync.Row) string {
	var b strings.Builder
	for _, r := range rows {
		model := reflect.ValueOf(r.Model).Elem()
		fmt.Fprintf(&b, "%s %s\n", model.Type().Name(), r.ID)
		for i := range model.NumField() {
			column, value := model.Type().Field(i).Tag.Get("ovsdb"), model.Field(i)
			if !slices.Contains(r.Columns, column) || value.IsZero() {
				continue
			}
			if value.Kind() == reflect.Pointer {
				value = value.Elem()
			}
			fmt.Fprintf(&b, "  %s: %v\n", column, value.Interface())
		}
		for _, m := range r.Members {
			fmt.Fprintf(&b, "  in %s %s %s\n", m.Table, m.ID, m.Column)
		}
	}
	return b.String()
}
