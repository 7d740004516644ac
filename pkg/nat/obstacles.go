// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Obstacles names chains of others, as "family table chain", that drop what
// they do not know and do not know the uplink: what the table lets pass may
// stop there. A chain knows the uplink where rules of it, or of chains that it
// jumps to, accept what comes in from the uplink and what goes out to it.
func (m *Manager) Obstacles() ([]string, error) { return m.kernel.obstacles() }

func (k kernel) obstacles() ([]string, error) {
	c, err := k.conn()
	if err != nil {
		return nil, err
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil, fmt.Errorf("listing nftables chains: %w", err)
	}
	var out []string
	for _, x := range chains {
		ours := x.Table.Name == TableName && x.Table.Family == nftables.TableFamilyINet
		if ours || x.Hooknum == nil || *x.Hooknum != *nftables.ChainHookForward ||
			x.Policy == nil || *x.Policy != nftables.ChainPolicyDrop {
			continue
		}
		family, known := map[nftables.TableFamily]string{
			nftables.TableFamilyINet: "inet", nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6",
		}[x.Table.Family]
		if !known {
			continue
		}
		open, err := opensUplink(c, x, k.join.uplink)
		if err != nil {
			return nil, err
		}
		if !open {
			out = append(out, strings.Join([]string{family, x.Table.Name, x.Name}, " "))
		}
	}
	slices.Sort(out)
	return out, nil
}

// opensUplink tells whether a chain, with those that it jumps to, accepts what
// comes in from the uplink and what goes out to it.
func opensUplink(c *nftables.Conn, base *nftables.Chain, uplink string) (bool, error) {
	var in, out bool
	ahead, seen := []string{base.Name}, map[string]bool{base.Name: true}
	for len(ahead) > 0 && !(in && out) {
		rules, err := c.GetRules(base.Table, &nftables.Chain{Name: ahead[0], Table: base.Table})
		if err != nil {
			return false, fmt.Errorf("reading nftables chain %s: %w", ahead[0], err)
		}
		ahead = ahead[1:]
		for _, r := range rules {
			verdict, to := verdictOf(r.Exprs)
			if verdict == expr.VerdictAccept {
				in = in || matchesName(r.Exprs, expr.MetaKeyIIFNAME, uplink)
				out = out || matchesName(r.Exprs, expr.MetaKeyOIFNAME, uplink)
			}
			if to != "" && !seen[to] {
				seen[to] = true
				ahead = append(ahead, to)
			}
		}
	}
	return in && out, nil
}

// verdictOf is a rule's verdict, with the chain that it jumps or goes to.
func verdictOf(rule exprs) (kind expr.VerdictKind, to string) {
	for _, e := range rule {
		if v, ok := e.(*expr.Verdict); ok {
			return v.Kind, v.Chain
		}
	}
	return expr.VerdictContinue, ""
}

// matchesName tells whether a rule asks for the name of an interface. iptables
// writes it without the zeros that nft fills it up with.
func matchesName(rule exprs, key expr.MetaKey, name string) bool {
	for i := 1; i < len(rule); i++ {
		meta, ok1 := rule[i-1].(*expr.Meta)
		cmp, ok2 := rule[i].(*expr.Cmp)
		if ok1 && ok2 && meta.Key == key && cmp.Op == expr.CmpOpEq && strings.TrimRight(string(cmp.Data), "\x00") == name {
			return true
		}
	}
	return false
}
