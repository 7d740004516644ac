// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/model"

	"github.com/vas-solutus/arca-network/internal/ovsdbconn"
	"github.com/vas-solutus/arca-network/pkg/vnet/ovsdb"
)

// keyKeepFlows is how long ovn-controller leaves flows that it finds in place. What is
// right depends on how long ovs-vswitchd has run.
const keyKeepFlows = "external_ids:ovn-ofctl-wait-before-clear"

// settings are the keys of table Open_vSwitch, by "column:key", that ovs-vswitchd and
// ovn-controller are told what to do by. All other keys are left alone.
func (s *Stack) settings() (map[string]string, error) {
	o := &s.options
	hostname, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	out := map[string]string{
		"external_ids:system-id":                o.SystemID,
		"external_ids:hostname":                 hostname,
		"external_ids:ovn-remote":               passive(o, controllerSB),
		"external_ids:ovn-encap-type":           "geneve",
		"external_ids:ovn-encap-ip":             o.EncapIP,
		"external_ids:ovn-bridge":               Bridge,
		"external_ids:ovn-bridge-datapath-type": datapath(),
		// 80 instead of 418 ms for a port at 10,000 ports.
		"external_ids:ovn-monitor-all": "true",
		// A local server that is busy with a large change must not be taken for dead.
		"external_ids:ovn-remote-probe-interval":   "60000",
		"external_ids:ovn-openflow-probe-interval": "0",
	}
	if datapath() == "netdev" {
		// Ten times the throughput between containers; read when ovs-vswitchd starts.
		out["other_config:userspace-tso-enable"] = "true"
	}
	// Also for a database that does not say it: to lose it were another target.
	if last := s.remote.Load(); last != nil {
		out[keyBridgeRemote] = *last
	}
	return out, nil
}

// assignments are settings as ovs-vsctl takes them, sorted.
func assignments(settings map[string]string) (args []string) {
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, key+"="+settings[key])
	}
	return args
}

// configure sets what ovs-vswitchd and ovn-controller read at their start.
func (s *Stack) configure(ctx context.Context) error {
	want, err := s.settings()
	if err != nil {
		return err
	}
	// After a restart of ovn-controller alone, the flows that are there stay until the
	// new ones are complete.
	want[keyKeepFlows] = strconv.FormatInt(s.keepFlows().Milliseconds(), 10)
	args := []string{"--no-wait", "--db=" + s.Endpoints().OVS, "--", "init", "--", "set", "Open_vSwitch", "."}
	args = append(args, assignments(want)...)
	// The bridge is there when ovs-vswitchd says that it is ready, so that
	// ovn-controller finds its socket at once instead of a second later.
	args = append(args, "--", "--may-exist", "add-br", Bridge, "--", "set", "Bridge", Bridge, "fail_mode=secure",
		"datapath_type="+datapath(), "other_config:disable-in-band=true")
	_, err = s.programs.run(ctx, "ovs-vsctl", args...)
	return err
}

// datapath is the type of the bridge's.
func datapath() string {
	if kernelDatapath() {
		return "system"
	}
	return "netdev"
}

// kernelDatapath tells whether the kernel has the openvswitch module.
func kernelDatapath() bool {
	_, err := os.Stat("/sys/module/openvswitch")
	return err == nil
}

// missing are the settings that a row of table Open_vSwitch does not have, sorted.
func (s *Stack) missing(row model.Model) []string {
	want, err := s.settings()
	if err != nil {
		return nil
	}
	var out []string
	for name, value := range want {
		column, key, _ := strings.Cut(name, ":")
		if have, found := ovsdbconn.Map(row, column)[key]; !found || have != value {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Pauses between two attempts to follow the settings, and between two repairs of them.
const settingsPause = 200 * time.Millisecond

// keepSettings puts back what somebody changes, until ctx is done: without it
// ovn-controller has no database to read, and no new port would ever come up.
func (s *Stack) keepSettings(ctx context.Context) {
	for pause(ctx, settingsPause) {
		rows := make(chan model.Model, 1)
		conn, err := ovsdbconn.Connect(ctx, ovsdbconn.Options{
			Database: openVSwitch, Endpoint: s.Endpoints().OVS, Timeout: commandTimeout, Log: logr.Discard(),
			Tables: map[string]ovsdbconn.Table{ovsdb.OpenvSwitchTable: {
				Model: &ovsdb.OpenvSwitch{}, Columns: []string{"external_ids", "other_config"},
			}},
		}, func(*ovsdbconn.Conn) cache.EventHandler { return latest(rows) })
		if err != nil {
			continue // a server that does not answer is the watch's business
		}
		for _, row := range conn.Cache.Table(ovsdb.OpenvSwitchTable).Rows() {
			latest(rows).put(row)
		}
		following, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.repairSettings(following, rows)
		}()
		_ = conn.Serve(ctx)
		cancel()
		<-done
		conn.Close()
	}
}

// repairSettings configures anew what differs in a row.
func (s *Stack) repairSettings(ctx context.Context, rows <-chan model.Model) {
	for {
		select {
		case <-ctx.Done():
			return
		case row := <-rows:
			gone := s.missing(row)
			if len(gone) == 0 {
				continue
			}
			if err := s.configure(ctx); err != nil && ctx.Err() == nil {
				s.options.Log.Error(err, "Settings in table Open_vSwitch could not be put back", "settings", gone)
			} else if err == nil {
				s.options.Log.Info("Settings in table Open_vSwitch were put back", "settings", gone)
			}
			if !pause(ctx, settingsPause) {
				return
			}
		}
	}
}

// latest hands on the newest row that it has heard of.
type latest chan model.Model

func (l latest) put(row model.Model) {
	for {
		select {
		case l <- row:
			return
		default:
		}
		select {
		case <-l: // an older one that nobody has taken
		default:
		}
	}
}

// OnAdd is of a cache.EventHandler.
func (l latest) OnAdd(_ string, row model.Model) { l.put(row) }

// OnUpdate is of a cache.EventHandler.
func (l latest) OnUpdate(_ string, _, row model.Model) { l.put(row) }

// OnDelete is of a cache.EventHandler. Whoever makes the row again configures it.
func (l latest) OnDelete(string, model.Model) {}
