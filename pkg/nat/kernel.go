// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// kernelTimeout bounds one conversation with the kernel. It answers within
// milliseconds; another transaction of many thousand rules may be before us.
const kernelTimeout = 10 * time.Second

// socketBuffer holds a transaction: the kernel takes it in one message, and
// 65,535 published ports are 7 MB.
const socketBuffer = 32 << 20

// chunk is how many elements are in one message, whose length has 16 bits.
const chunk = 400

// kernel reads and writes the table.
type kernel struct{ join join }

func (k kernel) conn() (*nftables.Conn, error) {
	return nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(
			c.SetDeadline(time.Now().Add(kernelTimeout)),
			c.SetWriteBuffer(socketBuffer),
			c.SetReadBuffer(socketBuffer))
	}))
}

func (k kernel) table() *nftables.Table {
	return &nftables.Table{Name: TableName, Family: nftables.TableFamilyINet}
}

// read returns the table, nil where there is none.
func (k kernel) read() (*table, error) {
	c, err := k.conn()
	if err != nil {
		return nil, err
	}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, fmt.Errorf("listing nftables tables: %w", err)
	}
	i := slices.IndexFunc(tables, func(t *nftables.Table) bool { return t.Name == TableName })
	if i < 0 {
		return nil, nil
	}
	// A dormant table has no effect: no shape of ours has this flag.
	out := &table{content: content{}, shape: fmt.Sprintf("flags %d", tables[i].Flags)}
	chains, marks, err := k.readChains(c)
	if err != nil {
		return nil, err
	}
	sets, err := c.GetSets(k.table())
	if err != nil {
		return nil, fmt.Errorf("listing nftables sets: %w", err)
	}
	whole := tables[i].Flags == 0
	for _, s := range sets {
		elements, err := c.GetSetElements(s)
		if err != nil {
			return nil, fmt.Errorf("reading nftables set %s: %w", s.Name, err)
		}
		var paired bool
		out.content[s.Name], paired = elementsOf(s, elements)
		whole = whole && paired
	}
	if whole {
		if out.shape, err = shapeOf(chains, marks, sets); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (k kernel) readChains(c *nftables.Conn) ([]chain, [][][]byte, error) {
	all, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, nil, fmt.Errorf("listing nftables chains: %w", err)
	}
	var (
		chains []chain
		marks  [][][]byte
	)
	for _, x := range all {
		if x.Table.Name != TableName {
			continue
		}
		rules, err := c.GetRules(k.table(), x)
		if err != nil {
			return nil, nil, fmt.Errorf("reading nftables chain %s: %w", x.Name, err)
		}
		ours := chain{name: x.Name, kind: x.Type, hook: x.Hooknum, priority: x.Priority}
		if x.Policy != nil && *x.Policy != nftables.ChainPolicyAccept {
			ours.kind += " policy drop"
		}
		var m [][]byte
		for _, r := range rules {
			ours.rules = append(ours.rules, r.Exprs)
			m = append(m, r.UserData)
		}
		chains, marks = append(chains, ours), append(marks, m)
	}
	return chains, marks, nil
}

// elementsOf turns elements into content; paired is false for an interval set
// whose starts and ends do not alternate, as ours always do.
func elementsOf(s *nftables.Set, in []nftables.SetElement) (out map[string]string, paired bool) {
	out = make(map[string]string, len(in))
	if !s.Interval {
		for _, e := range in {
			out[string(e.Key)] = string(e.Val)
		}
		return out, true
	}
	slices.SortFunc(in, func(x, y nftables.SetElement) int {
		if d := bytes.Compare(x.Key, y.Key); d != 0 {
			return d
		}
		switch {
		case x.IntervalEnd && !y.IntervalEnd:
			return -1
		case y.IntervalEnd && !x.IntervalEnd:
			return 1
		}
		return 0
	})
	for len(in) > 0 {
		switch {
		case in[0].IntervalEnd:
			return out, false
		case len(in) == 1: // to the end of the address space
			out[string(in[0].Key)] = ""
			return out, true
		case !in[1].IntervalEnd:
			return out, false
		}
		out[string(in[0].Key)] = string(in[1].Key)
		in = in[2:]
	}
	return out, true
}

// write makes a change in one transaction: all of it or nothing.
func (k kernel) write(ch change, want table) error {
	c, err := k.conn()
	if err != nil {
		return err
	}
	sets := map[string]*nftables.Set{}
	for _, s := range setsOf() {
		s.Table = k.table()
		sets[s.Name] = s
	}
	if ch.rebuild {
		k.rebuild(c, sets)
		ch.add = want.content
	}
	for name, elements := range ch.del {
		if err := inChunks(sets[name], elements, c.SetDeleteElements); err != nil {
			return err
		}
	}
	for name, elements := range ch.add {
		if err := inChunks(sets[name], elements, c.SetAddElements); err != nil {
			return err
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("writing nftables table %s: %w", TableName, err)
	}
	return nil
}

// rebuild replaces the table by one with empty sets.
func (k kernel) rebuild(c *nftables.Conn, sets map[string]*nftables.Set) {
	t := k.table()
	c.AddTable(t) // or the deletion fails where there is none
	c.DelTable(t)
	c.AddTable(t)
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		_ = c.AddSet(sets[name], nil) // fails for anonymous sets only
	}
	chains := chainsOf(k.join)
	for _, x := range chains {
		c.AddChain(&nftables.Chain{Name: x.name, Table: t, Type: x.kind, Hooknum: x.hook, Priority: x.priority})
	}
	for _, x := range chains {
		for _, r := range x.rules {
			c.AddRule(&nftables.Rule{Table: t, Chain: &nftables.Chain{Name: x.name}, Exprs: r, UserData: mark})
		}
	}
}

func inChunks(s *nftables.Set, elements map[string]string, do func(*nftables.Set, []nftables.SetElement) error) error {
	list := make([]nftables.SetElement, 0, min(len(elements), chunk))
	for key, value := range elements {
		e := nftables.SetElement{Key: []byte(key)}
		if s.IsMap {
			e.Val = []byte(value)
		}
		list = append(list, e)
		if s.Interval && value != "" {
			list = append(list, nftables.SetElement{Key: []byte(value), IntervalEnd: true})
		}
		if len(list) >= chunk {
			if err := do(s, list); err != nil {
				return fmt.Errorf("nftables set %s: %w", s.Name, err)
			}
			list = list[:0:0]
		}
	}
	if len(list) == 0 {
		return nil
	}
	return do(s, list)
}

// remove deletes the table; none is success.
func (k kernel) remove() error {
	c, err := k.conn()
	if err != nil {
		return err
	}
	c.AddTable(k.table())
	c.DelTable(k.table())
	return c.Flush()
}

// generation is a number that grows with every transaction of anybody.
func (k kernel) generation() (uint32, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(kernelTimeout)); err != nil {
		return 0, err
	}
	msgs, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN), Flags: netlink.Request},
		Data:   make([]byte, 4),
	})
	if err != nil {
		return 0, fmt.Errorf("reading nftables' generation: %w", err)
	}
	for _, m := range msgs {
		ad, err := netlink.NewAttributeDecoder(m.Data[4:])
		if err != nil {
			return 0, err
		}
		for ad.Next() {
			if ad.Type() == unix.NFTA_GEN_ID {
				return binary.BigEndian.Uint32(ad.Bytes()), nil
			}
		}
	}
	return 0, errors.New("reading nftables' generation: the kernel's answer has none")
}

// eventIsOurs tells whether a notification is about our table. The first
// attribute of every kind of them but one is the table's name.
func eventIsOurs(m netlink.Message) bool {
	const header = 4 // struct nfgenmsg, whose first byte is the family
	if m.Header.Type == netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWGEN) || len(m.Data) < header ||
		m.Data[0] != unix.NFPROTO_INET {
		return false
	}
	ad, err := netlink.NewAttributeDecoder(m.Data[header:])
	if err != nil {
		return false
	}
	for ad.Next() {
		if ad.Type() == 1 {
			return ad.String() == TableName
		}
	}
	return false
}
