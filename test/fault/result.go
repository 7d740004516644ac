// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// result is what one fault has cost.
type result struct {
	Name string `json:"name"`
	loss
	// Heal is how long it took each time until everything was as it was.
	Heal []time.Duration `json:"heal"`
	// Blocks of one KiB came through the TCP stream, none missing.
	Blocks uint64 `json:"blocks"`
	// Acknowledged writes; none may be missing.
	Acknowledged int    `json:"acknowledged,omitempty"`
	Said         string `json:"said,omitempty"`
	// Error says why it did not heal; empty where it did.
	Error string `json:"error,omitempty"`
}

// results are those of a run.
type results struct {
	Versions string   `json:"versions"`
	Seed     uint64   `json:"seed"`
	Short    bool     `json:"short"`
	Seconds  float64  `json:"seconds"`
	Faults   []result `json:"faults"`
	// End says what was left when everything had been deleted.
	End string `json:"end,omitempty"`
}

var headings = []string{"fault", "times", "packets lost", "longest gap", "slowest answer", "healed after", "writes acknowledged, lost", ""}

// cells are a result's columns.
func (r result) cells() []string {
	acknowledged := "-"
	if r.Acknowledged > 0 {
		acknowledged = fmt.Sprintf("%d, 0", r.Acknowledged)
	}
	cells := []string{r.Name, fmt.Sprint(len(r.Heal)), fmt.Sprintf("%d of %d", r.Lost, r.Sent), seconds(r.Gap), fmt.Sprintf("%d ms", r.Slowest.Milliseconds())}
	if r.Error != "" {
		return append(cells, "NOT HEALED", "-", firstLine(r.Error))
	}
	return append(cells, healed(r.Heal), acknowledged, r.Said)
}

// healed is one time, or the median and the longest of several.
func healed(times []time.Duration) string {
	if len(times) == 0 {
		return "-"
	}
	sorted := slices.Sorted(slices.Values(times))
	longest := sorted[len(sorted)-1]
	if len(sorted) == 1 {
		return seconds(longest)
	}
	return fmt.Sprintf("%s, at most %s", seconds(sorted[len(sorted)/2]), seconds(longest))
}

func seconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func (r *results) healed() bool {
	return r.End == "" && !slices.ContainsFunc(r.Faults, func(f result) bool { return f.Error != "" })
}

// verdict is the last sentence.
func (r *results) verdict() string {
	v := fmt.Sprintf("%d faults in %.0f s", len(r.Faults), r.Seconds)
	if r.healed() {
		return v + ": all healed; addresses, MACs and acknowledged objects are the same, every TCP stream went on, nothing is left behind"
	}
	if r.End != "" {
		v += "; left behind: " + r.End
	}
	return v + ": NOT ALL HEALED"
}

// print writes the table for people.
func (r *results) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s; seed %d\n\n", r.Versions, r.Seed)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.ToUpper(strings.Join(headings, "\t")))
	for _, f := range r.Faults {
		fmt.Fprintln(t, strings.Join(f.cells(), "\t"))
	}
	_ = t.Flush()
	fmt.Fprintf(w, "\nfault: %s\n", r.verdict())
}

// write writes the files that were asked for.
func (r *results) write() error {
	if *jsonFile != "" {
		raw, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := save(*jsonFile, append(raw, '\n')); err != nil {
			return err
		}
	}
	if *markdown != "" {
		return save(*markdown, []byte(r.markdown()))
	}
	return nil
}

func save(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

func (r *results) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# What faults cost\n\nWritten by `make fault`: %s, %s; %s; %d processors; seed %d.\n\n",
		r.Versions, "userspace datapath where the kernel has no openvswitch module", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), r.Seed)
	b.WriteString(`While each fault happens, a container is pinged every 10 ms by another one, and a TCP stream runs between the two. "Healed after" is from
the fault, or from where it is lifted, until every object is Ready for its generation, the northbound database holds the rows that it did, every
port is there and its flows are installed, a change has gone through to the switches and back, and a packet got through. Answers that were late
are not lost: the slowest tells how long traffic stood still.

`)
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(headings, " | "), strings.Repeat(" --- |", len(headings)))
	for _, f := range r.Faults {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(f.cells(), " | "))
	}
	fmt.Fprintf(&b, "\n%s.\n", r.verdict())
	return b.String()
}
