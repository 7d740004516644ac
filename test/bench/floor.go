// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/model"
	libovsdb "github.com/ovn-kubernetes/libovsdb/ovsdb"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/internal/ovsdbconn"
	"github.com/vas-solutus/arca-network/internal/testns"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
	"github.com/vas-solutus/arca-network/pkg/topology"
	"github.com/vas-solutus/arca-network/pkg/vnet/ovsdb"
)

// floor is the least that anybody has to do: a client that knows what it wants
// writes the same rows in the best transactions, makes the same interfaces, and
// remembers nothing but the rows' UUIDs.
type floor struct {
	*daemons
	// plain leaves out what isolates networks and leads to the host.
	plain bool

	ids    map[string]string // table and row → UUID
	ports  map[string]string // interface → UUID of its OVS port
	bridge string
	host   *netlink.Handle
}

func (f *floor) start() error {
	f.ids, f.ports = map[string]string{}, map[string]string{}
	if err := f.startDaemons(); err != nil {
		return err
	}
	var err error
	if f.host, err = netlink.NewHandle(); err != nil {
		return err
	}
	if f.bridge, err = f.tool("ovs-vsctl", "get", "Bridge", ovnd.Bridge, "_uuid"); err != nil {
		return err
	}
	if err := f.writeShared(); err != nil {
		return err
	}
	if f.plain {
		return nil
	}
	return f.plug([]plug{{name: topology.UplinkInterface, ifaceID: topology.UplinkPortName, kind: "internal"}})
}

func (f *floor) writeShared() error {
	chassis, err := f.tool("ovs-vsctl", "get", "Open_vSwitch", ".", "external_ids:system-id")
	if err != nil {
		return err
	}
	rows := append(topology.Shared(), topology.Uplink(strings.Trim(chassis, "\""))...)
	return f.write(f.rows(rows, nil, topology.SharedOwner()))
}

func (f *floor) stop() error {
	if f.host != nil {
		f.host.Close()
	}
	return f.stopDaemons()
}

// owned is a row with the owner that it carries.
type owned struct {
	ovnsync.Row
	owner ovnsync.Owner
}

// rows leaves out what the plain topology does not have.
func (f *floor) rows(rows []ovnsync.Row, into []owned, owner ovnsync.Owner) []owned {
	for _, r := range rows {
		if !f.plain || f.isPlain(r) {
			into = append(into, owned{r, owner})
		}
	}
	return into
}

func (f *floor) isPlain(r ovnsync.Row) bool {
	switch r.Model.(type) {
	case *nbdb.LogicalRouter:
		return true
	case *nbdb.LogicalSwitch, *nbdb.LogicalSwitchPort, *nbdb.LogicalRouterPort:
		name := ovsdbconn.Column(r.Model, "name").String()
		return name != topology.JoinSwitchName && name != topology.UplinkPortName &&
			name != topology.JoinSwitchName+"-rtr" && name != topology.JoinSwitchName+"-sw"
	}
	return false
}

func networkRows(i int) ([]ovnsync.Row, ovnsync.Owner, error) {
	n := networkObject(i)
	rows, err := topology.Network(n)
	return rows, topology.NetworkOwner(n), err
}

func attachmentRows(i, j int) ([]ovnsync.Row, ovnsync.Owner, error) {
	a := attachmentObject(i, j)
	rows, err := topology.Attachment(a, networkObject(i))
	return rows, topology.AttachmentOwner(a), err
}

// tables tells the table of a model's type.
var tables = func() map[reflect.Type]string {
	db, err := nbdb.FullDatabaseModel()
	must(err)
	out := map[reflect.Type]string{}
	for table, t := range db.Types() {
		out[t] = table
	}
	return out
}()

func tableOf(m model.Model) string { return tables[reflect.TypeOf(m)] }

// write inserts rows in one transaction.
func (f *floor) write(rows []owned) error {
	var ops []libovsdb.Operation
	inserted := map[int]string{}
	for i, r := range rows {
		table, name := tableOf(r.Model), fmt.Sprint("row", i)
		values := libovsdb.Row{"external_ids": ovsdbconn.Pairs(map[string]string{
			ovnsync.KeyOwnerKind: r.owner.Kind, ovnsync.KeyOwnerName: r.owner.Name, ovnsync.KeyOwnerUID: r.owner.UID, ovnsync.KeyRow: r.ID,
		})}
		for _, c := range r.Columns {
			v, err := libovsdb.NativeToOvs(f.nb.conn.Schema.Table(table).Column(c), ovsdbconn.Column(r.Model, c).Interface())
			if err != nil {
				return err
			}
			values[c] = v
		}
		inserted[len(ops)] = table + "/" + r.ID
		f.ids[table+"/"+r.ID] = name
		ops = append(ops, libovsdb.Operation{Op: libovsdb.OperationInsert, Table: table, UUIDName: name, Row: values})
		for _, m := range r.Members {
			parent, ok := f.ids[m.Table+"/"+m.ID]
			if !ok {
				continue // the plain topology does not have it
			}
			value := ovsdbconn.Reference(name)
			if m.Value != "" {
				value = libovsdb.OvsSet{GoSet: []any{m.Value}}
			}
			ops = append(ops, ovsdbconn.Mutate(m.Table, parent, m.Column, libovsdb.MutateOperationInsert, value))
		}
	}
	results, err := f.transact(f.nb, ops)
	for i, key := range inserted {
		if err == nil {
			f.ids[key] = results[i].UUID.GoUUID
		}
	}
	return err
}

func (f *floor) transact(w *rowWatch, ops []libovsdb.Operation) ([]libovsdb.OperationResult, error) {
	ctx, cancel := context.WithTimeout(context.Background(), ages)
	defer cancel()
	return w.conn.Transact(ctx, ops)
}

// erase deletes rows and their memberships in one transaction.
func (f *floor) erase(rows []owned) error {
	var ops []libovsdb.Operation
	for i := len(rows) - 1; i >= 0; i-- {
		r := rows[i]
		key := tableOf(r.Model) + "/" + r.ID
		self := f.ids[key]
		delete(f.ids, key)
		for _, m := range r.Members {
			parent, ok := f.ids[m.Table+"/"+m.ID]
			if !ok {
				continue
			}
			value := ovsdbconn.Reference(self)
			if m.Value != "" {
				value = libovsdb.OvsSet{GoSet: []any{m.Value}}
			}
			ops = append(ops, ovsdbconn.Mutate(m.Table, parent, m.Column, libovsdb.MutateOperationDelete, value))
		}
		ops = append(ops, libovsdb.Operation{Op: libovsdb.OperationDelete, Table: tableOf(r.Model), Where: ovsdbconn.ByUUID(self)})
	}
	_, err := f.transact(f.nb, ops)
	return err
}

// plug is an interface to put into the bridge.
type plug struct{ name, ifaceID, kind string }

// plug puts interfaces into the bridge in one transaction.
func (f *floor) plug(plugs []plug) error {
	var ops []libovsdb.Operation
	for i, p := range plugs {
		iface, port := fmt.Sprint("iface", i), fmt.Sprint("port", i)
		ops = append(ops,
			libovsdb.Operation{Op: libovsdb.OperationInsert, Table: ovsdb.InterfaceTable, UUIDName: iface, Row: libovsdb.Row{
				"name": p.name, "type": p.kind, "external_ids": ovsdbconn.Pairs(map[string]string{"iface-id": p.ifaceID}),
			}},
			libovsdb.Operation{Op: libovsdb.OperationInsert, Table: ovsdb.PortTable, UUIDName: port, Row: libovsdb.Row{
				"name": p.name, "interfaces": libovsdb.UUID{GoUUID: iface},
			}},
			ovsdbconn.Mutate(ovsdb.BridgeTable, f.bridge, "ports", libovsdb.MutateOperationInsert, ovsdbconn.Reference(port)))
	}
	results, err := f.transact(f.ovs, ops)
	if err != nil {
		return err
	}
	for i, p := range plugs {
		f.ports[p.name] = results[3*i+1].UUID.GoUUID
	}
	return nil
}

func outerName(i, j int) string { return fmt.Sprintf("v%d-%d", i, j) }

func plugOf(i, j int) plug {
	return plug{name: outerName(i, j), ifaceID: topology.PortName(uid(containerName(i, j)))}
}

// veth makes the pair, with address and route inside.
func (f *floor) veth(i, j int) error {
	ns, err := netns.GetFromPath(testns.Path(containerName(i, j)))
	if err != nil {
		return err
	}
	defer ns.Close()
	a := attachmentObject(i, j)
	mac, err := net.ParseMAC(a.Status.MAC)
	if err != nil {
		return err
	}
	outer := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: outerName(i, j), MTU: v1alpha1.DefaultMTU, Flags: 1, TxQLen: -1},
		PeerName:  "eth0", PeerHardwareAddr: mac, PeerMTU: v1alpha1.DefaultMTU, PeerNamespace: netlink.NsFd(int(ns)),
	}
	if err := f.host.LinkAdd(outer); err != nil {
		return fmt.Errorf("veth %s: %w", outer.Name, err)
	}
	// Without IPv6 the outer end has no routes, which ovs-vswitchd would read anew for
	// each port; and what it would set itself is a change that has it look at all ports.
	if err := f.host.SetPromiscOn(outer); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+outer.Name+"/disable_ipv6", []byte("1"), 0o644); err != nil {
		return err
	}
	if err := f.host.LinkSetUp(outer); err != nil {
		return err
	}
	in, err := netlink.NewHandleAt(ns)
	if err != nil {
		return err
	}
	defer in.Close()
	eth0, err := in.LinkByName("eth0")
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(a.Status.Addresses[0])
	if err != nil {
		return err
	}
	via, err := netlink.ParseAddr(gateway(i) + "/32")
	if err != nil {
		return err
	}
	return errors.Join(in.AddrAdd(eth0, addr), in.LinkSetUp(eth0),
		in.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: via.IP}))
}

// Sizes of transactions and the hands that make interfaces: what was fastest
// on two cores.
const (
	networksPerTransaction = 100
	portsPerTransaction    = 200
	hands                  = 4
)

func (f *floor) bulk(networks int) (float64, bool, error) {
	from := time.Now()
	err := f.load(0, networks)
	return time.Since(from).Seconds(), false, err
}

// load makes networks from one number up to another, and waits until all that
// there are pass traffic.
func (f *floor) load(from, to int) error {
	if err := f.rewriteRows(from, to); err != nil {
		return err
	}
	var plugs []plug
	for i := from; i < to; i++ {
		var wg sync.WaitGroup
		errs := make([]error, 10)
		next := make(chan int, 10)
		for j := range perNetwork {
			next <- j
			plugs = append(plugs, plugOf(i, j))
		}
		close(next)
		for range hands {
			wg.Go(func() {
				for j := range next {
					errs[j] = f.veth(i, j)
				}
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if len(plugs) >= portsPerTransaction || i == to-1 {
			if err := f.plug(plugs); err != nil {
				return err
			}
			plugs = nil
		}
	}
	return f.allUp(perNetwork * to)
}

func (f *floor) rewriteRows(from, to int) error {
	var rows []owned
	flush := func(last bool) error {
		if len(rows) == 0 || !last && len(rows) < networksPerTransaction*4 {
			return nil
		}
		err := f.write(rows)
		rows = nil
		return err
	}
	for i := from; i < to; i++ {
		r, owner, err := networkRows(i)
		if err != nil {
			return err
		}
		rows = f.rows(r, rows, owner)
		if err := flush(i == to-1); err != nil {
			return err
		}
	}
	for i := from; i < to; i++ {
		for j := range 10 {
			r, owner, err := attachmentRows(i, j)
			if err != nil {
				return err
			}
			rows = f.rows(r, rows, owner)
		}
		if i == to-1 || len(rows) >= portsPerTransaction {
			if err := flush(true); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *floor) rewrite(networks int) error {
	f.ids = map[string]string{}
	if err := f.writeShared(); err != nil {
		return err
	}
	return f.rewriteRows(0, networks)
}

func (f *floor) network(i int) error {
	rows, owner, err := networkRows(i)
	if err != nil {
		return err
	}
	return f.write(f.rows(rows, nil, owner))
}

func (f *floor) removeNetwork(i int) error {
	rows, owner, err := networkRows(i)
	if err != nil {
		return err
	}
	return f.erase(f.rows(rows, nil, owner))
}

func (f *floor) attachment(i, j int) error {
	rows, owner, err := attachmentRows(i, j)
	if err != nil {
		return err
	}
	written := make(chan error)
	go func() { written <- f.write(f.rows(rows, nil, owner)) }()
	err = f.veth(i, j)
	if err == nil {
		err = f.plug([]plug{plugOf(i, j)})
	}
	if err := errors.Join(err, <-written); err != nil {
		return err
	}
	return f.waitUp(i, j)
}

func (f *floor) waitUp(i, j int) error {
	p := plugOf(i, j)
	if err := f.ovs.name(p.name); err != nil {
		return err
	}
	return f.nb.name(p.ifaceID)
}

func (f *floor) removeAttachment(i, j int) error {
	rows, owner, err := attachmentRows(i, j)
	if err != nil {
		return err
	}
	p := plugOf(i, j)
	_, err = f.transact(f.ovs, []libovsdb.Operation{
		ovsdbconn.Mutate(ovsdb.BridgeTable, f.bridge, "ports", libovsdb.MutateOperationDelete, ovsdbconn.Reference(f.ports[p.name])),
	})
	if err != nil {
		return err
	}
	delete(f.ports, p.name)
	link, err := f.host.LinkByName(p.name)
	if err != nil {
		return err
	}
	return errors.Join(f.host.LinkDel(link), f.erase(f.rows(rows, nil, owner)))
}

// restart is what a client that begins anew has to do at the least: read what
// is there.
func (f *floor) restart(int) error {
	ctx, cancel := context.WithTimeout(context.Background(), ages)
	defer cancel()
	for database, models := range map[string]map[string]model.Model{
		"OVN_Northbound": {
			nbdb.LogicalSwitchTable: &nbdb.LogicalSwitch{}, nbdb.LogicalSwitchPortTable: &nbdb.LogicalSwitchPort{},
			nbdb.LogicalRouterTable: &nbdb.LogicalRouter{}, nbdb.LogicalRouterPortTable: &nbdb.LogicalRouterPort{},
			nbdb.AddressSetTable: &nbdb.AddressSet{}, nbdb.PortGroupTable: &nbdb.PortGroup{},
		},
		"Open_vSwitch": {ovsdb.PortTable: &ovsdb.Port{}, ovsdb.InterfaceTable: &ovsdb.Interface{}},
	} {
		tables := map[string]ovsdbconn.Table{}
		for name, m := range models {
			tables[name] = ovsdbconn.Table{Model: m}
		}
		c, err := ovsdbconn.Connect(ctx, ovsdbconn.Options{
			Database: database, Endpoint: f.endpoint(), Timeout: ages, Log: logr.Discard(), Tables: tables,
		}, func(*ovsdbconn.Conn) cache.EventHandler { return &cache.EventHandlerFuncs{} })
		if err != nil {
			return err
		}
		c.Close()
	}
	return nil
}
