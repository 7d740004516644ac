// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Where a namespace has several of our links, what is sent from an address leaves
// by the link that has it, whichever has the default route: an answer from another
// one would be dropped by port security. Per address there are four rules, in
// this order. They name nothing of the other links, and what a person routes in
// the main table, short of a default route, is respected.
const (
	// To the link's own subnet: as the main table says.
	prefOwn = 32721 + iota
	// To a subnet of another of our links: not by that link.
	prefSibling
	// Other routes of the main table, without default routes.
	prefMain
	// The link's own table, which has its default route.
	prefTable
)

// tableBase and the index of a link are the number of its table.
const tableBase = 1_720_000_000

// rule is a rule of policy routing. Table also labels those that need none.
type rule struct {
	From, To netip.Prefix
	Pref     int
	Table    int // 0 is the main one
	Goto     int
	// NoDefault leaves default routes out (suppress_prefixlength 0).
	NoDefault bool
	ours      bool
}

func tableOf(link int) int { return tableBase + link }

// sourceRouting are the rules of a link with these addresses, and the routes of its table.
func sourceRouting(link int, addrs []netip.Prefix, routes []Route) (rules []rule, table []Route) {
	for _, r := range routes {
		if r.Dst.Bits() == 0 {
			r.Table = tableOf(link)
			table = append(table, r)
		}
	}
	for _, a := range addrs {
		if a.Addr().IsLinkLocalUnicast() {
			if a.Addr().Is4() { // of IPv6 the kernel knows by which link
				// Each link may have that range, so the main table does not tell.
				table = append(table, Route{Dst: a.Masked(), Table: tableOf(link)})
				rules = append(rules, rule{From: netip.PrefixFrom(a.Addr(), 32), To: a.Masked(), Pref: prefOwn, Table: tableOf(link), ours: true})
			}
			continue
		}
		if !slices.ContainsFunc(table, func(r Route) bool { return r.Dst.Addr().Is4() == a.Addr().Is4() }) {
			continue
		}
		from, subnet := netip.PrefixFrom(a.Addr(), a.Addr().BitLen()), a.Masked()
		rules = append(rules, // in the order of making them; they go in the opposite one
			rule{From: from, Pref: prefTable, Table: tableOf(link), ours: true},
			rule{From: from, Pref: prefMain, NoDefault: true, ours: true},
			rule{From: from, To: subnet, Pref: prefOwn, Goto: prefMain, Table: tableOf(link), ours: true},
			rule{To: subnet, Pref: prefSibling, Goto: prefTable, Table: tableOf(link), ours: true},
		)
	}
	return rules, table
}

// planRules compares the rules of a namespace with those wanted for a link. Rules
// of others are left alone; of ours, those of this link go and those whose link is
// gone.
func planRules(have, want []rule, link int, exists func(link int) (bool, error)) (del, add []rule, err error) {
	for _, w := range want {
		if !slices.Contains(have, w) {
			add = append(add, w)
		}
	}
	ownerOf := map[netip.Prefix]int{} // those of the main table have no label
	for _, h := range have {
		if h.ours && h.Pref == prefTable {
			ownerOf[h.From] = h.Table
		}
	}
	alive := map[int]bool{tableOf(link): false, 0: false}
	for _, h := range have {
		if !h.ours || slices.Contains(want, h) {
			continue
		}
		owner := h.Table
		if owner == 0 {
			owner = ownerOf[h.From]
		}
		if _, known := alive[owner]; !known {
			if alive[owner], err = exists(owner - tableBase); err != nil {
				return nil, nil, err
			}
		}
		if !alive[owner] {
			del = append(del, h)
		}
	}
	order := []int{prefSibling, prefOwn, prefMain, prefTable}
	slices.SortStableFunc(del, func(a, b rule) int {
		return cmp.Compare(slices.Index(order, a.Pref), slices.Index(order, b.Pref))
	})
	return del, add, nil
}

// syncRules makes the namespace have the rules of a link.
func (c *conn) syncRules(link int, want []rule) error {
	have, err := c.rules()
	if err != nil {
		return err
	}
	del, add, err := planRules(have, want, link, func(index int) (bool, error) {
		l, err := c.linkAt(index)
		return l != nil, err
	})
	if err != nil {
		return err
	}
	for _, r := range add {
		if err := c.changeRule(unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, r); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("adding rule %d from %s: %w", r.Pref, r.From, err)
		}
	}
	for _, r := range del {
		if err := c.changeRule(unix.RTM_DELRULE, 0, r); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("removing rule %d from %s: %w", r.Pref, r.From, err)
		}
	}
	return nil
}

// What a rule does, of linux/fib_rules.h.
const (
	frActToTable = 1
	frActGoto    = 2
)

func (c *conn) changeRule(typ, flags int, r rule) error {
	of := r.From
	if !of.IsValid() {
		of = r.To
	}
	msg := nl.NewRtMsg() // a fib_rule_hdr has the same form
	msg.Family, msg.Table, msg.Scope, msg.Protocol = uint8(family(of.Addr())), unix.RT_TABLE_UNSPEC, 0, 0
	msg.Type = frActToTable
	table := uint32(r.Table)
	if r.Table == 0 {
		table = unix.RT_TABLE_MAIN
	}
	data := []nl.NetlinkRequestData{msg,
		nl.NewRtAttr(nl.FRA_PRIORITY, nl.Uint32Attr(uint32(r.Pref))),
		nl.NewRtAttr(nl.FRA_TABLE, nl.Uint32Attr(table)),
		nl.NewRtAttr(nl.FRA_PROTOCOL, nl.Uint8Attr(originProto)),
	}
	if r.From.IsValid() {
		msg.Src_len = uint8(r.From.Bits())
		data = append(data, nl.NewRtAttr(nl.FRA_SRC, r.From.Addr().AsSlice()))
	}
	if r.To.IsValid() {
		msg.Dst_len = uint8(r.To.Bits())
		data = append(data, nl.NewRtAttr(nl.FRA_DST, r.To.Addr().AsSlice()))
	}
	if r.Goto != 0 {
		msg.Type = frActGoto
		data = append(data, nl.NewRtAttr(nl.FRA_GOTO, nl.Uint32Attr(uint32(r.Goto))))
	}
	if r.NoDefault {
		data = append(data, nl.NewRtAttr(nl.FRA_SUPPRESS_PREFIXLEN, nl.Uint32Attr(0)))
	}
	_, err := c.do(c.request(typ, flags|unix.NLM_F_ACK, data...))
	return err
}

// rules are the rules of the namespace, of both families.
func (c *conn) rules() ([]rule, error) {
	var out []rule
	for _, f := range []uint8{unix.AF_INET, unix.AF_INET6} {
		msg := nl.NewRtMsg()
		msg.Family = f
		msgs, err := c.dump(unix.RTM_GETRULE, unix.RTM_NEWRULE, msg)
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
			continue // a kernel without IPv6, or without rules
		}
		if err != nil {
			return nil, fmt.Errorf("listing rules: %w", err)
		}
		for _, m := range msgs {
			r, err := parseRule(m)
			if err != nil {
				return nil, fmt.Errorf("listing rules: %w", err)
			}
			out = append(out, r)
		}
	}
	return out, nil
}

func parseRule(m []byte) (rule, error) {
	if len(m) < unix.SizeofRtMsg {
		return rule{}, unix.EINVAL
	}
	msg := nl.DeserializeRtMsg(m)
	attrs, err := nl.ParseRouteAttr(m[msg.Len():])
	if err != nil {
		return rule{}, err
	}
	r := rule{}
	for _, at := range attrs {
		switch at.Attr.Type {
		case nl.FRA_SRC:
			r.From = prefixOf(at.Value, msg.Src_len)
		case nl.FRA_DST:
			r.To = prefixOf(at.Value, msg.Dst_len)
		case nl.FRA_PRIORITY:
			r.Pref = int(nl.NativeEndian().Uint32(at.Value))
		case nl.FRA_TABLE:
			if t := nl.NativeEndian().Uint32(at.Value); t != unix.RT_TABLE_MAIN {
				r.Table = int(t)
			}
		case nl.FRA_GOTO:
			r.Goto = int(nl.NativeEndian().Uint32(at.Value))
		case nl.FRA_SUPPRESS_PREFIXLEN:
			r.NoDefault = nl.NativeEndian().Uint32(at.Value) == 0
		case nl.FRA_PROTOCOL:
			r.ours = at.Value[0] == originProto
		}
	}
	return r, nil
}

func prefixOf(addr []byte, bits uint8) netip.Prefix {
	a, _ := netip.AddrFromSlice(addr)
	return netip.PrefixFrom(a, int(bits))
}
