// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/go-logr/logr"
)

// database is one of the databases that ovsdb-server serves.
type database struct {
	name, file, schema string
	// first is a transaction for a new file. May be empty.
	first string
}

const (
	openVSwitch = "Open_vSwitch"
	northbound  = "OVN_Northbound"
	southbound  = "OVN_Southbound"
)

// firstRow is what a new northbound database has from the start: where ovn-northd's
// probes come from, which we do not use. The address is in flows of every switch, and
// ovn-northd chooses another one for each database that names none (ovn-nb(5)).
const firstRow = `["OVN_Northbound", {"op": "insert", "table": "NB_Global",
	"row": {"options": ["map", [["svc_monitor_mac", "0e:61:72:63:61:01"]]]}}]`

var databaseFiles = []database{
	{openVSwitch, "conf.db", "openvswitch/vswitch.ovsschema", ""},
	{northbound, "nb.db", "ovn/ovn-nb.ovsschema", firstRow},
	{southbound, "sb.db", "ovn/ovn-sb.ovsschema", ""},
}

// HasDatabases tells whether a folder holds databases of daemons of ours.
func HasDatabases(dir string) bool {
	return slices.ContainsFunc(databaseFiles, func(db database) bool {
		_, err := os.Lstat(filepath.Join(dir, db.file))
		return err == nil
	})
}

// keptCorrupt is how many damaged files of one database are kept.
const keptCorrupt = 3

// prepare makes a database's file ready for the server: made if missing,
// converted if the package's schema is newer, put aside if damaged. All three
// databases are derived from the objects, so an empty one fills itself. One that is
// known to be good is only made if missing.
func (d database) prepare(ctx context.Context, p *programs, dir string, good bool, log logr.Logger) (made bool, err error) {
	file, schema := filepath.Join(dir, d.file), p.share(d.schema)
	if _, err := os.Stat(file); err == nil && good {
		return false, nil
	} else if err == nil {
		have, err := p.run(ctx, "ovsdb-tool", "db-version", file)
		if err == nil {
			// Reads the whole log, as the server will.
			_, err = p.run(ctx, "ovsdb-tool", "query", file, fmt.Sprintf(`[%q,{"op":"comment","comment":"check"}]`, d.name))
		}
		if err != nil {
			if ctx.Err() != nil {
				return false, err
			}
			if err := putAside(file); err != nil {
				return false, fmt.Errorf("putting damaged database %s aside: %w", file, err)
			}
			log.Error(err, "Database is damaged; it was put aside and will be filled from the objects", "file", file)
		} else {
			return false, d.upgrade(ctx, p, file, schema, have, log)
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	_, err = p.run(ctx, "ovsdb-tool", "create", file, schema)
	if err == nil && d.first != "" {
		_, err = p.run(ctx, "ovsdb-tool", "transact", file, d.first)
	}
	return err == nil, err
}

func (d database) upgrade(ctx context.Context, p *programs, file, schema, have string, log logr.Logger) error {
	needs, err := p.run(ctx, "ovsdb-tool", "needs-conversion", file, schema)
	if err != nil || needs != "yes" {
		return err
	}
	want, err := p.run(ctx, "ovsdb-tool", "schema-version", schema)
	if err != nil {
		return err
	}
	if _, err := p.run(ctx, "ovsdb-tool", "convert", file, schema); err != nil {
		return fmt.Errorf("converting %s from schema %s to %s: %w", file, have, want, err)
	}
	log.Info("Database converted", "database", d.name, "from", have, "to", want)
	return nil
}

// upgradeOnline converts a database that a server is serving.
func (d database) upgradeOnline(ctx context.Context, p *programs, endpoint string, log logr.Logger) error {
	schema := p.share(d.schema)
	needs, err := p.run(ctx, "ovsdb-client", "needs-conversion", endpoint, schema)
	if err != nil || needs != "yes" {
		return err
	}
	if _, err := p.run(ctx, "ovsdb-client", "convert", endpoint, schema); err != nil {
		return fmt.Errorf("converting %s: %w", d.name, err)
	}
	log.Info("Database converted while served", "database", d.name)
	return nil
}

func putAside(file string) error {
	old, err := filepath.Glob(file + ".corrupt-*")
	if err != nil {
		return err
	}
	sort.Strings(old)
	for len(old) >= keptCorrupt {
		if err := os.Remove(old[0]); err != nil {
			return err
		}
		old = old[1:]
	}
	_ = os.Remove(filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".~lock~"))
	return os.Rename(file, file+time.Now().UTC().Format(".corrupt-20060102T150405.000Z"))
}

// configure sets what ovs-vswitchd and ovn-controller read at their start.
// keepFlows is how long ovn-controller leaves flows that it finds in place; more are
// other settings.
func configure(ctx context.Context, p *programs, o *Options, keepFlows time.Duration, more ...string) error {
	datapath := "netdev"
	if kernelDatapath() {
		datapath = "system"
	}
	hostname, err := os.Hostname()
	if err != nil {
		return err
	}
	settings := []string{
		"external_ids:system-id=" + o.SystemID,
		"external_ids:hostname=" + hostname,
		"external_ids:ovn-remote=" + passive(o, controllerSB),
		"external_ids:ovn-encap-type=geneve",
		"external_ids:ovn-encap-ip=" + o.EncapIP,
		"external_ids:ovn-bridge=" + Bridge,
		"external_ids:ovn-bridge-datapath-type=" + datapath,
		// 80 instead of 418 ms for a port at 10,000 ports.
		"external_ids:ovn-monitor-all=true",
		// A local server that is busy with a large change must not be taken for dead.
		"external_ids:ovn-remote-probe-interval=60000",
		"external_ids:ovn-openflow-probe-interval=0",
		// After a restart of ovn-controller alone, the flows that are there stay
		// until the new ones are complete.
		"external_ids:ovn-ofctrl-wait-before-clear=" + strconv.FormatInt(keepFlows.Milliseconds(), 10),
	}
	if datapath == "netdev" {
		// Ten times the throughput between containers; read when ovs-vswitchd starts.
		settings = append(settings, "other_config:userspace-tso-enable=true")
	}
	settings = append(settings, more...)
	args := append([]string{"--no-wait", "--db=" + EndpointsOf(*o).OVS, "--", "init", "--", "set", "Open_vSwitch", "."}, settings...)
	// The bridge is there when ovs-vswitchd says that it is ready, so that
	// ovn-controller finds its socket at once instead of a second later.
	args = append(args, "--", "--may-exist", "add-br", Bridge, "--", "set", "Bridge", Bridge, "fail_mode=secure", "datapath_type="+datapath)
	_, err = p.run(ctx, "ovs-vsctl", args...)
	return err
}

// kernelDatapath tells whether the kernel has the openvswitch module.
func kernelDatapath() bool {
	_, err := os.Stat("/sys/module/openvswitch")
	return err == nil
}
