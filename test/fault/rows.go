// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/vas-solutus/arca-network/pkg/ovnsync"
)

// row is a row of a database, as ovsdb-client prints it.
type row map[string]any

// query reads tables of a database, at one moment.
func (w *world) query(ctx context.Context, database string, tables ...string) (map[string][]row, error) {
	request := []any{database}
	for _, t := range tables {
		request = append(request, map[string]any{"op": "select", "table": t, "where": []any{}})
	}
	raw, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	out, err := w.tool(ctx, "ovsdb-client", "--timeout=10", "transact", w.endpoint(), string(raw))
	if err != nil {
		return nil, err
	}
	var results []struct {
		Rows  []row
		Error string
	}
	if err := json.Unmarshal([]byte(out), &results); err != nil {
		return nil, fmt.Errorf("reading %s: %w", database, err)
	}
	all := map[string][]row{}
	for i, r := range results {
		if r.Error != "" || i >= len(tables) {
			return nil, fmt.Errorf("reading %s: %s", database, r.Error)
		}
		all[tables[i]] = r.Rows
	}
	return all, nil
}

// pairs reads a column that is a map of strings.
func pairs(v any) map[string]string {
	out := map[string]string{}
	list, _ := v.([]any)
	if len(list) != 2 || list[0] != "map" {
		return out
	}
	entries, _ := list[1].([]any)
	for _, e := range entries {
		if kv, _ := e.([]any); len(kv) == 2 {
			out[fmt.Sprint(kv[0])] = fmt.Sprint(kv[1])
		}
	}
	return out
}

// northboundTables hold what objects become.
var northboundTables = []string{
	"Logical_Switch", "Logical_Switch_Port", "Logical_Router", "Logical_Router_Port", "Gateway_Chassis", "Logical_Router_Policy",
	"Logical_Router_Static_Route", "Address_Set", "Port_Group", "ACL", "Load_Balancer", "Load_Balancer_Group",
	"DHCP_Options", "QoS", "NAT", "DNS", "Meter",
}

// volatile columns are written by OVN itself, or are another after each wipe.
var volatile = []string{"_uuid", "_version", "up", "dynamic_addresses", "hosting-chassis", "status"}

// rows describes the northbound database such that two databases that say the
// same are described alike: references by what they point to, sets in order.
func (w *world) rows(ctx context.Context) ([]string, error) {
	all, err := w.query(ctx, "OVN_Northbound", northboundTables...)
	if err != nil {
		return nil, err
	}
	names := map[string]string{} // of rows, by UUID
	for table, rows := range all {
		for _, r := range rows {
			id := fmt.Sprint(r["name"])
			if key := pairs(r["external_ids"])[ovnsync.KeyRow]; key != "" {
				id = key
			}
			if uuid, _ := r["_uuid"].([]any); len(uuid) == 2 {
				names[fmt.Sprint(uuid[1])] = table + " " + id
			}
		}
	}
	var out []string
	for table, rows := range all {
		for _, r := range rows {
			text := table
			for _, column := range sortedKeys(r) {
				if !slices.Contains(volatile, column) {
					text += " " + column + "=" + describe(r[column], names)
				}
			}
			out = append(out, text)
		}
	}
	slices.Sort(out)
	return out, nil
}

func sortedKeys(r row) []string {
	keys := make([]string, 0, len(r))
	for k := range r {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// describe writes a value, with references by name and sets in order.
func describe(v any, names map[string]string) string {
	list, ok := v.([]any)
	if !ok || len(list) != 2 {
		return fmt.Sprint(v)
	}
	if list[0] == "uuid" {
		if name := names[fmt.Sprint(list[1])]; name != "" {
			return "<" + name + ">"
		}
		return "<a row that is not there>"
	}
	elements, ok := list[1].([]any)
	if !ok {
		return fmt.Sprint(v)
	}
	texts := make([]string, len(elements))
	for i, e := range elements {
		if kv, ok := e.([]any); ok && list[0] == "map" && len(kv) == 2 {
			texts[i] = describe(kv[0], names) + ":" + describe(kv[1], names)
			continue
		}
		texts[i] = describe(e, names)
	}
	slices.Sort(texts)
	return "{" + strings.Join(texts, ",") + "}"
}
