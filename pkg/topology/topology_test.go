// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package topology_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/internal/golden"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
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

// TestSearchDomains: DHCP tells the domains that are names in DNS, as many as an
// option has room for, and without any it has no such option.
func TestSearchDomains(t *testing.T) {
	long := strings.Repeat("0a", 32) // one byte more than a label has
	d100 := strings.Repeat("a123456789.b12345678.", 5)[:100]
	for _, c := range []struct {
		name, dnsName string
		search        []string
		want          string
	}{
		{"web", "", nil, `"web"`},
		{"web", "Web_1.lan", []string{"corp.example.com"}, `"Web_1.lan,corp.example.com"`},
		{long[:63], "", nil, `"` + long[:63] + `"`},
		{long, "", nil, ""},
		{long, "web", nil, `"web"`},
		{long, "", []string{"corp.example.com"}, `"corp.example.com"`},
		{"web.of." + long, "", nil, ""},
		{"web", "", []string{d100, d100[:44], d100}, `"web,` + d100 + "," + d100[:44] + `,` + d100 + `"`},
		{"web", "", []string{d100, d100[:45], d100, "x"}, `"web,` + d100 + "," + d100[:45] + `"`},
	} {
		n := &v1alpha1.Network{}
		n.Name, n.UID, n.Spec.DNSName = c.name, "11111111-0000-0000-0000-000000000001", c.dnsName
		n.Spec.DNS, n.Spec.DHCP = &v1alpha1.NetworkDNS{Search: c.search}, &v1alpha1.NetworkDHCP{Enabled: true}
		n.Status.Subnets = []v1alpha1.SubnetStatus{{CIDR: "10.0.0.0/24", Gateway: "10.0.0.1"}}
		rows, err := topology.Network(n)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(rows, func(r ovnsync.Row) bool { _, is := r.Model.(*nbdb.DHCPOptions); return is })
		if i < 0 {
			t.Fatalf("network %q has no DHCP options", c.name)
		}
		got, there := rows[i].Model.(*nbdb.DHCPOptions).Options["domain_search_list"]
		if got != c.want || there != (c.want != "") {
			t.Errorf("network %q, dnsName %q, search %q: got %s, %v, want %s", c.name, c.dnsName, c.search, got, there, c.want)
		}
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
