// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"

	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
	"github.com/vas-solutus/arca-network/pkg/topology"
	"github.com/vas-solutus/arca-network/pkg/vnet/ovsdb"
)

// daemons are OVS and OVN of one way, and what tells their state.
type daemons struct {
	dir string
	nb  *rowWatch // logical ports that are up
	ovs *rowWatch // interfaces whose flows are installed
	// stack is nil where the way has somebody else to run them.
	stack *ovnd.Stack
	end   context.CancelFunc
	done  chan struct{}
}

func (d *daemons) system() *daemons { return d }
func (d *daemons) state() string    { return filepath.Join(d.dir, "state") }
func (d *daemons) run() string      { return "/run/arca" }
func (d *daemons) endpoint() string { return ovnd.EndpointsOf(d.options()).NB }

func (d *daemons) options() ovnd.Options {
	return ovnd.Options{Root: *root, Dir: filepath.Join(d.state(), "ovn"), RunDir: d.run(), Log: logr.Discard()}
}

// startDaemons starts them for a way that has nobody else to do it.
func (d *daemons) startDaemons() error {
	ctx, cancel := context.WithCancel(context.Background())
	stack, err := ovnd.Start(ctx, d.options())
	if err != nil {
		cancel()
		return err
	}
	d.stack, d.end, d.done = stack, cancel, make(chan struct{})
	go func() { defer close(d.done); _ = stack.Run(ctx) }()
	return d.observe()
}

func (d *daemons) stopDaemons() error {
	d.unobserve()
	if d.end != nil {
		d.end()
		<-d.done
	}
	return ovnd.Stop(context.Background(), d.options())
}

// observe connects to both databases, as often as needed.
func (d *daemons) observe() error {
	for limit := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) { // until the server is there
		err := d.connect()
		if err == nil || time.Now().After(limit) {
			return err
		}
	}
}

func (d *daemons) connect() (err error) {
	d.unobserve()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d.nb, err = newRowWatch(ctx, "OVN_Northbound", d.endpoint(), nbdb.LogicalSwitchPortTable, &nbdb.LogicalSwitchPort{}, "up",
		func(v any) bool { up, ok := v.(*bool); return ok && up != nil && *up }, isAttachment)
	if err != nil {
		return err
	}
	d.ovs, err = newRowWatch(ctx, "Open_vSwitch", d.endpoint(), ovsdb.InterfaceTable, &ovsdb.Interface{}, "external_ids",
		func(v any) bool { ids, ok := v.(map[string]string); return ok && ids["ovn-installed"] == "true" },
		func(name string) bool { return name != topology.UplinkInterface && name != ovnd.Bridge })
	return err
}

// isAttachment tells the logical ports of attachments from those of routers,
// which are always up.
func isAttachment(name string) bool {
	_, err := uuid.Parse(strings.TrimPrefix(name, topology.PortName("")))
	return err == nil
}

func (d *daemons) unobserve() {
	for _, w := range []*rowWatch{d.nb, d.ovs} {
		if w != nil && w.conn != nil {
			w.conn.Close()
		}
	}
	d.nb, d.ovs = nil, nil
}

// allUp waits until so many ports pass traffic.
func (d *daemons) allUp(attachments int) error {
	if err := d.nb.count(attachments, ages); err != nil {
		return err
	}
	return d.ovs.count(attachments, ages)
}

// settle waits until the hypervisor has taken in all that is written.
func (d *daemons) settle() error {
	_, err := d.tool("ovn-nbctl", "--wait=hv", "--timeout="+strconv.Itoa(int(ages.Seconds())), "sync")
	return err
}

func (d *daemons) tool(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), ages)
	defer cancel()
	return ovnd.Tool(ctx, d.options(), name, append([]string{"--db=" + d.endpoint()}, args...)...)
}

func (d *daemons) daemonPID(name string) (int, error) {
	raw, err := os.ReadFile(filepath.Join(d.run(), name+".pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(raw)))
}

// memory is the proportional memory of all daemons, in MiB.
func (d *daemons) memory() (float64, error) {
	sum := 0.0
	for _, name := range []string{"ovsdb-server", "ovs-vswitchd", "ovn-northd", "ovn-controller"} {
		pid, err := d.daemonPID(name)
		if err != nil {
			return 0, err
		}
		mib, err := smaps(pid, "Pss")
		if err != nil {
			return 0, err
		}
		sum += mib
	}
	return sum, nil
}

// flows counts logical flows and OpenFlow flows.
func (d *daemons) flows() (logical, openflow int, err error) {
	out, err := d.tool("ovn-sbctl", "--bare", "--columns=table_id", "list", "Logical_Flow")
	if err != nil {
		return 0, 0, err
	}
	for _, line := range strings.Split(out, "\n") {
		if line != "" {
			logical++
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err = ovnd.Tool(ctx, d.options(), "ovs-ofctl", "dump-aggregate", "unix:"+d.run()+"/"+ovnd.Bridge+".mgmt")
	if err != nil {
		return 0, 0, err
	}
	_, after, _ := strings.Cut(out, "flow_count=")
	openflow, err = strconv.Atoi(strings.TrimSpace(after))
	return logical, openflow, err
}

// handshake matches a change by which a client asks ovs-vswitchd whether it has
// taken in what there is, or the answer.
var handshake = regexp.MustCompile(`^{"[^"]*":{"(next|cur)_cfg":[0-9]+}}$`)

// written is what was written to the northbound and Open_vSwitch
// databases, without what tells that configuration has arrived (nb_cfg and its
// echoes): the health check asks for that at every start. The format of the
// files is that of ovsdb(5): a header line before each record, which names the
// tables that the transaction changed.
func (d *daemons) written() (records []string, err error) {
	for _, name := range []string{"nb.db", "conf.db"} {
		raw, err := os.ReadFile(filepath.Join(d.options().Dir, name))
		if err != nil {
			return nil, err
		}
		for line := range bytes.Lines(raw) {
			if bytes.HasPrefix(line, []byte("OVSDB JSON")) {
				continue
			}
			var record map[string]json.RawMessage
			if err := json.Unmarshal(line, &record); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			for _, quiet := range []string{"_date", "_comment", "_is_diff", nbdb.NBGlobalTable} {
				delete(record, quiet)
			}
			if len(record) == 1 && (bytes.Contains(record[ovsdb.BridgeTable], []byte("ovn-nb-cfg")) || handshake.Match(record[ovsdb.OpenvSwitchTable])) {
				continue
			}
			if len(record) > 0 {
				records = append(records, string(line))
			}
		}
	}
	return records, nil
}

// heal loses the northbound database; who runs the server starts it anew.
func (d *daemons) heal() error {
	pid, err := d.daemonPID("ovsdb-server")
	if err != nil {
		return err
	}
	d.unobserve()
	if err := os.Remove(filepath.Join(d.options().Dir, "nb.db")); err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	for limit := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		now, err := d.daemonPID("ovsdb-server")
		if err == nil && now != pid {
			err := d.observe()
			if err == nil && d.stack != nil {
				d.stack.Release(context.Background()) // a bare client has nobody hold OVN for it
			}
			return err
		}
		if time.Now().After(limit) {
			return fmt.Errorf("ovsdb-server did not come back: %v", err)
		}
	}
}
