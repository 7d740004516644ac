// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/diagnose"
)

// TestExplainForms: what explain finds of an object is the same in each form that it is
// asked for, and a form that there is not is refused.
func TestExplainForms(t *testing.T) {
	s, api := startStore(t)
	n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "web"}}
	if err := api.Create(testContext(t), n); err != nil {
		t.Fatal(err)
	}
	want := diagnose.Network(n)
	for form, unmarshal := range map[string]func([]byte, any) error{
		"json": json.Unmarshal,
		"yaml": func(b []byte, into any) error { return yaml.UnmarshalStrict(b, into) },
	} {
		var got []diagnose.Finding
		out := run(t, s, "explain", "network/web", "-o", form)
		if err := unmarshal([]byte(out), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("-o %s: %v, %v, want %v; printed:\n%s", form, got, err, want, out)
		}
		if isJSON := strings.HasPrefix(out, "["); isJSON != (form == "json") {
			t.Errorf("-o %s prints:\n%s", form, out)
		}
	}
	if out := run(t, s, "explain", "network", "web"); !strings.HasPrefix(out, "NO ") && !strings.HasPrefix(out, "ok ") {
		t.Errorf("without -o:\n%s", out)
	}
	c := command(genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &bytes.Buffer{}, ErrOut: &bytes.Buffer{}})
	c.SetArgs([]string{"explain", "network/web", "-o", "xml", "--kubeconfig", s.KubeconfigPath()})
	if err := c.ExecuteContext(testContext(t)); err == nil || !strings.Contains(err.Error(), "yaml") {
		t.Errorf("-o xml: %v, want an error that says what is allowed", err)
	}
}
