// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// table is what the kernel has, or should have: a shape and what its sets hold.
type table struct {
	shape   string
	content content
}

// mark is the comment of every rule of ours. A rule that is replaced by hand
// loses it.
var mark = userdata.AppendString(nil, userdata.TypeComment, "arca-network")

// shapeOf describes chains, rules and sets so that two of them compare.
func shapeOf(chains []chain, marks [][][]byte, sets []*nftables.Set) (string, error) {
	var b strings.Builder
	sorted := slices.Clone(sets)
	slices.SortFunc(sorted, func(x, y *nftables.Set) int { return strings.Compare(x.Name, y.Name) })
	for _, s := range sorted {
		fmt.Fprintf(&b, "set %s map=%v interval=%v timeout=%v dynamic=%v key=%d/%d data=%d/%d\n", s.Name, s.IsMap, s.Interval, s.HasTimeout,
			s.Dynamic, s.KeyType.GetNFTMagic(), s.KeyType.Bytes, s.DataType.GetNFTMagic(), s.DataType.Bytes)
	}
	order := make([]int, len(chains))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int { return strings.Compare(chains[x].name, chains[y].name) })
	for _, i := range order {
		c := chains[i]
		fmt.Fprintf(&b, "chain %s %s", c.name, c.kind)
		if c.hook != nil && c.priority != nil {
			fmt.Fprintf(&b, " hook %d priority %d", *c.hook, *c.priority)
		}
		b.WriteByte('\n')
		for n, r := range c.rules {
			fmt.Fprintf(&b, " rule %x", marks[i][n])
			for _, e := range r {
				if l, ok := e.(*expr.Lookup); ok {
					same := *l
					same.SetID = 0 // only of one transaction
					e = &same
				}
				raw, err := expr.Marshal(unix.NFPROTO_INET, e)
				if err != nil {
					return "", fmt.Errorf("describing a rule of chain %s: %w", c.name, err)
				}
				fmt.Fprintf(&b, " %x", raw)
			}
			b.WriteByte('\n')
		}
	}
	return b.String(), nil
}

// shapeOfOurs describes what this package writes.
func shapeOfOurs(j join) (string, error) {
	chains := chainsOf(j)
	marks := make([][][]byte, len(chains))
	for i, c := range chains {
		for range c.rules {
			marks[i] = append(marks[i], mark)
		}
	}
	return shapeOf(chains, marks, setsOf())
}

// change is what has to be written to make one table another.
type change struct {
	// rebuild replaces the whole table; the rest says nothing then.
	rebuild  bool
	add, del content
}

func (c change) empty() bool { return !c.rebuild && len(c.add) == 0 && len(c.del) == 0 }

// onlyNewSubnets tells whether nothing changes but that there are more subnets.
func (c change) onlyNewSubnets() bool {
	if c.empty() || c.rebuild || len(c.del) > 0 {
		return false
	}
	for _, f := range families {
		if len(c.add[f.somewhere])+len(c.add[f.everywhere])+len(c.add[f.quiet]) > 0 {
			return false
		}
	}
	return true
}

// changeOf compares. have is nil where there is no table.
func changeOf(have *table, want table) change {
	if have == nil || have.shape != want.shape {
		return change{rebuild: true}
	}
	c := change{add: content{}, del: content{}}
	for set, elements := range want.content {
		for key, value := range elements {
			if old, there := have.content[set][key]; !there || old != value {
				put(c.add, set, key, value)
				if there {
					put(c.del, set, key, old)
				}
			}
		}
	}
	for set, elements := range have.content {
		for key, value := range elements {
			if _, wanted := want.content[set][key]; !wanted {
				put(c.del, set, key, value)
			}
		}
	}
	return c
}

func put(c content, set, key, value string) {
	if c[set] == nil {
		c[set] = map[string]string{}
	}
	c[set][key] = value
}
