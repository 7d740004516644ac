// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
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
			_, err = p.runFor(ctx, p.patience(file), "ovsdb-tool", "query", file, fmt.Sprintf(`[%q,{"op":"comment","comment":"check"}]`, d.name))
		}
		if err != nil {
			if !saidNo(ctx, err) {
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

// saidNo tells whether a tool has run to its end and failed, which says something of
// its file; not that it could not be run, was killed or had no more time. The loader of
// a root folder ends with 127 where it misses a library.
func saidNo(ctx context.Context, err error) bool {
	var exit *exec.ExitError
	return ctx.Err() == nil && errors.As(err, &exit) && exit.ExitCode() == 1
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
	if _, err := p.runFor(ctx, p.patience(file), "ovsdb-tool", "convert", file, schema); err != nil {
		return fmt.Errorf("converting %s from schema %s to %s: %w", file, have, want, err)
	}
	log.Info("Database converted", "database", d.name, "from", have, "to", want)
	return nil
}

// upgradeOnline converts a database that a server is serving.
func (d database) upgradeOnline(ctx context.Context, p *programs, dir, endpoint string, log logr.Logger) error {
	schema := p.share(d.schema)
	needs, err := p.run(ctx, "ovsdb-client", "needs-conversion", endpoint, schema)
	if err != nil || needs != "yes" {
		return err
	}
	if _, err := p.runFor(ctx, p.patience(filepath.Join(dir, d.file)), "ovsdb-client", "convert", endpoint, schema); err != nil {
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
