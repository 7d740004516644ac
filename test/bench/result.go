// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
)

// result is one figure of one way at one size.
type result struct {
	// Size is the number of networks, each with ten attachments; 0 where the
	// figure is of no size.
	Size int    `json:"networks"`
	Row  string `json:"row"`
	Way  string `json:"way"`
	Unit string `json:"unit"`
	// P50 is the only value where there is one sample.
	P50     float64 `json:"p50"`
	P95     float64 `json:"p95,omitempty"`
	Samples int     `json:"samples"`
	// Estimated says that the value is summed up from samples at several sizes.
	Estimated bool `json:"estimated,omitempty"`
}

func of(row, unit string, values ...float64) result {
	slices.Sort(values)
	r := result{Row: row, Unit: unit, P50: values[len(values)/2], Samples: len(values)}
	if len(values) > 1 {
		r.P95 = values[len(values)*95/100]
	}
	return r
}

// earlier reads the figures of a run before.
func earlier(file string) (all []result) {
	raw, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(raw, &all) != nil {
		return nil
	}
	return all
}

// replace puts figures in, in place of those of the same task.
func replace(all, by []result) []result {
	if len(by) == 0 {
		return all
	}
	all = slices.DeleteFunc(all, func(r result) bool {
		return slices.ContainsFunc(by, func(b result) bool { return b.Size == r.Size && b.Way == r.Way && b.Row == r.Row })
	})
	return append(all, by...)
}

// table prints sizes and rows down, ways across.
func table(w io.Writer, all []result) {
	type key struct {
		size int
		row  string
	}
	var order []key
	var columns []string
	cells := map[key]map[string]result{}
	for _, r := range all {
		k := key{r.Size, r.Row}
		if cells[k] == nil {
			cells[k] = map[string]result{}
			order = append(order, k)
		}
		cells[k][r.Way] = r
		if !slices.Contains(columns, r.Way) {
			columns = append(columns, r.Way)
		}
	}
	rank := func(way string) int { return slices.Index(wayNames(), way) }
	slices.SortStableFunc(columns, func(x, y string) int { return rank(x) - rank(y) })
	slices.SortStableFunc(order, func(x, y key) int { return x.size - y.size })
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "size\tp50 (p95)\t")
	for _, c := range columns {
		fmt.Fprintf(t, "%s\t", c)
	}
	fmt.Fprintln(t, "ours/floor\tours/cli\tours/engine")
	for _, k := range order {
		size, unit := fmt.Sprintf("%d×10", k.size), ""
		if k.size == 0 {
			size = ""
		}
		line := ""
		for _, c := range columns {
			r, ok := cells[k][c]
			line += r.cell(ok) + "\t"
			if ok {
				unit = r.Unit
			}
		}
		fmt.Fprintf(t, "%s\t%s, %s\t%s%s\t%s\t%s\n", size, k.row, unit, line, ratio(cells[k], "floor"), ratio(cells[k], "cli"), ratio(cells[k], "engine"))
	}
	_ = t.Flush()
}

func (r result) cell(there bool) string {
	switch {
	case !there:
		return "-"
	case r.Estimated:
		return fmt.Sprintf("~%s", short(r.P50))
	case r.Samples > 1:
		return fmt.Sprintf("%s (%s)", short(r.P50), short(r.P95))
	}
	return short(r.P50)
}

func short(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func ratio(cell map[string]result, to string) string {
	ours, ok1 := cell["ours"]
	peer, ok2 := cell[to]
	if !ok1 || !ok2 || peer.P50 == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", ours.P50/peer.P50)
}
