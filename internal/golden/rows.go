// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/vas-solutus/arca-network/internal/ovsdbconn"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
)

// Rows writes rows as text: table and id, then what it has in the columns that it owns,
// then its memberships and references.
func Rows(rows []ovnsync.Row) string {
	var b strings.Builder
	for _, r := range rows {
		model := reflect.ValueOf(r.Model).Elem()
		fmt.Fprintf(&b, "%s %s\n", model.Type().Name(), r.ID)
		for i := range model.NumField() {
			column, value := model.Type().Field(i).Tag.Get("ovsdb"), model.Field(i)
			if !slices.Contains(r.Columns, column) || ovsdbconn.Empty(value) {
				continue
			}
			if value.Kind() == reflect.Pointer {
				value = value.Elem()
			}
			fmt.Fprintf(&b, "  %s: %v\n", column, value)
		}
		for _, m := range r.Members {
			fmt.Fprintf(&b, "  in %s %s %s: %s\n", m.Table, m.ID, m.Column, cmp.Or(m.Value, "this row"))
		}
		for _, ref := range r.References {
			if ref.ID != "" {
				fmt.Fprintf(&b, "  %s: %s %s\n", ref.Column, ref.Table, ref.ID)
			}
		}
	}
	return b.String()
}
