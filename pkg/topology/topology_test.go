// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package topology_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/internal/golden"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// TestGolden: the rows that objects stand for.
func TestGolden(t *testing.T) { golden.Run(t, rowsOf) }

func rowsOf(t *testing.T, documents []golden.Document) string {
	t.Helper()
	var rows []ovnsync.Row
	network := &v1alpha1.Network{}
	for _, d := range documents {
		var (
			more []ovnsync.Row
			err  error
		)
		switch d.Kind {
		case "Shared":
			more = append(topology.Shared(), topology.Uplink("this-host")...)
		case "Network":
			network = golden.Into(t, d, &v1alpha1.Network{})
			more, err = topology.Network(network)
		case "Attachment":
			more, err = topology.Attachment(golden.Into(t, d, &v1alpha1.Attachment{}), network)
		default:
			t.Fatalf("unknown kind %q", d.Kind)
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, more...)
	}
	return golden.Rows(rows)
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
