// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// PrintTable writes a plan for people.
func PrintTable(w io.Writer, plan []Item) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ACTION\tNETWORK\tID\tDRIVER\tSUBNETS\tREMARKS")
	for _, i := range plan {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", i.Action, i.Name, short(i.ID), i.Driver, strings.Join(i.Subnets, ","), strings.Join(append(i.Why, i.Notes...), "; "))
	}
	return t.Flush()
}

// PrintJSON writes a plan for programs.
func PrintJSON(w io.Writer, plan []Item) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(plan)
}
